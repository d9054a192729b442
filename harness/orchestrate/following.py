"""Machines that join a cluster while a study runs, or leave it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from harness.orchestrate.nodes import alive, asked, described
from harness.orchestrate.packing import Node

EVERY_S = 5.0


class Following:
    """Looks at the cluster every few seconds; `look` never waits for a machine."""

    def __init__(self, nodes: Sequence[Node], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Know the machines that there are."""
        self._nodes = {node.name: node for node in nodes}
        self._clock = clock
        self._looked_s = clock()
        self._asked: dict[str, Any] = {}
        """What new machines were asked for: their memory and cards."""

    def look(self) -> list[Node] | None:
        """Return the machines if they have changed, else None; a new one counts once it has said what it has."""
        if self._clock() - self._looked_s < EVERY_S:
            return None
        self._looked_s = self._clock()
        now = {node["NodeID"]: node for node in alive()}
        gone = self._nodes.keys() - now.keys()
        for name in gone:
            del self._nodes[name]
        self._asked = {name: answer for name, answer in self._asked.items() if name in now}
        for name in now.keys() - self._nodes.keys() - self._asked.keys():
            self._asked[name] = asked(name)
        come = [name for name in list(self._asked) if self._answered(now[name])]
        return list(self._nodes.values()) if gone or come else None

    def _answered(self, node: dict[str, Any]) -> bool:
        name = node["NodeID"]
        if not ray.wait([self._asked[name]], timeout=0)[0]:
            return False
        answer = self._asked.pop(name)
        try:
            self._nodes[name] = described(node, *ray.get(answer))
        except RayError:
            return False  # it went away while it was asked, or is asked again at the next look
        return True
