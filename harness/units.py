"""Amounts of memory and time, read from and written for people."""

GIB = 2**30


def parse_bytes(text: str) -> int:
    """Read an amount of memory such as `24GiB`, `800MiB` or `24GB`.

    Raises:
        ValueError: the text is no such amount.
    """
    units = {"GiB": GIB, "MiB": 2**20, "KiB": 2**10, "GB": 10**9, "MB": 10**6, "B": 1}
    for unit, factor in units.items():
        if text.endswith(unit):
            try:
                amount = float(text.removesuffix(unit))
            except ValueError:
                break
            if amount > 0:
                return int(amount * factor)
    raise ValueError(f"{text} is no amount of memory, expected something like 24GiB or 800MiB")


def format_bytes(amount: float | None) -> str:
    """Return bytes for people, in MiB or GiB."""
    if amount is None:
        return "-"
    return f"{amount / GIB:.2f} GiB" if amount >= GIB else f"{amount / 2**20:.1f} MiB"


def format_seconds(seconds: float | None) -> str:
    """Return a duration for people: 8.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(number: int, word: str) -> str:
    """Return so many of what a word names: `1 trial`, `2,000 trials`."""
    return f"{number:,} {word}{'s'[: number != 1]}"
