"""No fit, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Refused:
    """No fit, and why."""

    reason: str
    """One sentence."""

    def in_words(self) -> str:
        """Return the reason."""
        return self.reason
