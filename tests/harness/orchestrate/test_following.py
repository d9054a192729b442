"""Machines that come and go, as Ray would say it; Ray itself is made up."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from harness.orchestrate import following as module
from harness.orchestrate.following import EVERY_S, Following
from harness.orchestrate.nodes import described
from harness.orchestrate.packing import Node

GIB = 2**30


def said(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True, "Resources": {"CPU": 4.0, **resources}}


def node(name: str) -> Node:
    return described(said(name), 10 * GIB, [])


class Cluster:
    """Says which machines there are; a machine answers once it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names = ["a"]
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.now = 0.0
        monkeypatch.setattr(module, "alive", lambda: [said(name) for name in self.names])
        monkeypatch.setattr(module, "asked", self._ask)
        monkeypatch.setattr(module.ray, "wait", self._wait)
        monkeypatch.setattr(module.ray, "get", self._get)
        self.following = Following([node("a")], clock=lambda: self.now)

    def look(self) -> set[str] | None:
        self.now += EVERY_S
        found = self.following.look()
        return None if found is None else {one.name for one in found}

    def _ask(self, name: str) -> str:
        self.asked.append(name)
        return name

    def _wait(self, names: list[str], timeout: float) -> tuple[list[str], list[str]]:
        assert timeout == 0
        return [name for name in names if name in self.answers], []

    def _get(self, name: str) -> Any:
        if isinstance(self.answers[name], Exception):
            raise self.answers[name]
        return self.answers[name]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_a_machine_that_joins_counts_once_it_has_said_what_it_has(cluster: Cluster) -> None:
    cluster.names.append("b")
    assert cluster.look() is None
    assert cluster.look() is None
    assert cluster.asked == ["b"], "it is asked once and not waited for"
    cluster.answers["b"] = (10 * GIB, [])
    assert cluster.look() == {"a", "b"}
    assert cluster.look() is None


def test_a_machine_that_leaves_is_said_at_the_next_look(cluster: Cluster) -> None:
    cluster.names.remove("a")
    cluster.names.append("b")
    cluster.answers["b"] = (10 * GIB, [])
    assert cluster.look() == {"b"}


def test_a_machine_that_dies_while_it_is_asked_is_asked_again(cluster: Cluster) -> None:
    cluster.names.append("b")
    cluster.answers["b"] = ActorDiedError()
    assert cluster.look() is None
    cluster.answers["b"] = (10 * GIB, [])
    assert cluster.look() == {"a", "b"}
    assert cluster.asked == ["b", "b"]


def test_ray_is_not_asked_more_than_every_few_seconds(cluster: Cluster) -> None:
    cluster.names.remove("a")
    assert cluster.following.look() is None
    assert cluster.look() == set()


def test_mixed_cards_count_as_what_they_are_and_those_that_ray_may_not_use_as_the_largest() -> None:
    cards = [24 * GIB, 80 * GIB, 40 * GIB]
    assert len(described(said("a", GPU=3), 0, cards).cards) == 3
    assert max(described(said("a", GPU=2), 0, cards).cards) < 40 * GIB
    assert described(said("a"), 0, cards).cards == ()
