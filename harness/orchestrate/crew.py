"""All slots of a sweep: started a few at a time, more of them when the cluster grows, sent home at the end."""

import threading
import time

from harness.orchestrate.slots import Slot, SlotConfig


class Crew:
    """Slots that share a board."""

    def __init__(self, config: SlotConfig, number: int, *, starts_at_once: int) -> None:
        """Prepare the slots; none is started yet."""
        self._config = config
        self._closing = threading.Event()
        self._starts_at_once = starts_at_once
        self._slots: list[Slot] = []
        self._add(number)

    def start(self, up: int) -> None:
        """Start as many slots as may be starting at once, given how many are up; called again and again."""
        settled = up + sum(slot.error is not None for slot in self._slots)
        for slot in self._slots[: settled + self._starts_at_once]:
            slot.start()

    def grow(self, wanted: int) -> bool:
        """Have so many slots that serve or will; say whether there were fewer.

        Slots of machines that are gone end by themselves, or find room on others.
        """
        lacking = wanted - sum(not slot.ended for slot in self._slots)
        if lacking <= 0:
            return False
        self._add(lacking)
        self._starts_at_once = max(self._starts_at_once, lacking)
        return True

    @property
    def alive(self) -> bool:
        """Whether any slot serves."""
        return any(slot.alive for slot in self._slots)

    @property
    def error(self) -> str:
        """Why the slots gave up."""
        return next((slot.error for slot in self._slots if slot.error), "every slot ended")

    def dismiss(self) -> None:
        """Let no slot start anything again."""
        self._closing.set()

    def join(self, deadline_s: float) -> None:
        """Wait for the slots to end until this time of the monotonic clock."""
        for slot in self._slots:
            slot.join(max(0.0, deadline_s - time.monotonic()))

    def _add(self, number: int) -> None:
        first = len(self._slots)
        self._slots += [Slot(first + index, self._config, self._closing) for index in range(number)]
