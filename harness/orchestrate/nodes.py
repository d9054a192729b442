"""What the machines of a cluster have, asked of each one: cards, cores, host memory."""

import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.memory.devices import CONTEXT_BYTES
from harness.orchestrate.packing import Node

HOST_SHARE = 0.9
"""Part of a machine's memory that trials may fill; the rest is the system's and Ray's."""
ANSWER_TIMEOUT_S = 60.0
MIB = 2**20


def survey(*, own: bool) -> list[Node]:
    """Return the nodes of the cluster that this process is connected to; `own`: all of it is this machine.

    A node that does not answer in time is left out: a trial could not be started there either. A node whose cards the
    driver does not show (none, or another maker's) counts as one without known cards.
    """
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if own:
        return [_node(node, *measure()) for node in alive]
    ask: Any = ray.remote(measure)
    asked = {
        node["NodeID"]: ask.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in alive
    }
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    return [
        _node(node, *ray.get(asked[node["NodeID"]]))
        for node in alive
        if asked[node["NodeID"]] in ready
    ]  # fmt: skip


def measure() -> tuple[int, list[int]]:
    """Return this machine's memory and the bytes of each of its cards."""
    return psutil.virtual_memory().total, _cards()


def _node(node: dict[str, Any], host_bytes: int, cards: Sequence[int]) -> Node:
    resources = node["Resources"]
    # Ray may have been told to use fewer cards than there are.
    offered = int(resources.get("GPU", 0))
    usable = sorted((card - CONTEXT_BYTES for card in cards), reverse=True)[:offered]
    # Ray hands out cards of one node as it likes, so those of a mixed node all count as the smallest.
    return Node(
        name=node["NodeID"],
        cpus=resources["CPU"],
        host_bytes=int(HOST_SHARE * host_bytes),
        cards=tuple([min(usable)] * len(usable)) if usable else (),
    )


def _cards() -> list[int]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return [int(float(line)) * MIB for line in lines if line.replace(".", "").isdigit()]
