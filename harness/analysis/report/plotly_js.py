"""What the page carries compressed: plotly.js and the figures, as gzip in base64.

plotly.js is 4.8 MB, compressed 2.0 MB; a browser unpacks it faster than it reads 4.8 MB of script out of HTML
(chromium on two cores: 0.15 s against 0.5 s). What it ends with is the list of its chart types, each of which is set up
by a call. The report draws scatter plots, which are part of the core, and leaves the others asleep: 0.2 s against 0.7 s
until the script has run.
"""

import base64
import gzip
import json
import re
from functools import cache
from importlib import resources
from typing import Any


@cache
def plotly_js() -> str:
    """Return plotly.js as the installed plotly package ships it, packed.

    Raises:
        ValueError: plotly is not installed.
    """
    try:
        source = resources.files("plotly") / "package_data" / "plotly.min.js"
    except ModuleNotFoundError:
        raise ValueError("the package plotly is not installed, expected it for the report's figures") from None
    return packed(_core_only(source.read_text(encoding="utf-8")).encode())


def packed_json(document: Any) -> str:
    """Return a document of plain values, packed; what is not a finite number is null there."""
    return packed(json.dumps(_finite(document), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())


def packed(content: bytes) -> str:
    """Return bytes as gzip in base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()


def _core_only(script: str) -> str:
    """Return plotly.js without the calls that set up further chart types; as it is where it is built otherwise."""
    opening = ".register(["
    start = script.rfind(opening) + len(opening)
    end = script.find("])", start)
    calls = script[start:end]
    return script[:start] + script[end:] if re.fullmatch(r"[\w$]+\(\)(,[\w$]+\(\))*", calls) else script


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
