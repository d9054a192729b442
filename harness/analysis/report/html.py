"""Building HTML in which text stays text: whatever is not `Html` already is escaped."""

import html

VOID = frozenset({"meta", "link", "input", "br"})


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """Return an element; `class_` is the attribute class, `data_v` is data-v, None and False leave it out."""
    said = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{said}>")
    return Html(f"<{name}{said}>{join(*children)}</{name}>")


def join(*children: str) -> Html:
    """Return children one after the other, escaped unless they are markup."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(value)}"'
