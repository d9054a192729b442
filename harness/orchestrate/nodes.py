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
    nodes = alive()
    if own:
        return [described(node, *measure()) for node in nodes]
    answers = [asked(node["NodeID"]) for node in nodes]
    ready, _ = ray.wait(answers, num_returns=len(answers), timeout=ANSWER_TIMEOUT_S)
    return [
        described(node, *ray.get(answer)) for node, answer in zip(nodes, answers, strict=True) if answer in ready
    ]  # fmt: skip


def alive() -> list[dict[str, Any]]:
    """Return what Ray says of the nodes that could run a trial."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def asked(name: str) -> Any:
    """Return where the answer of a node to `measure` will be."""
    ask: Any = ray.remote(measure)
    here = NodeAffinitySchedulingStrategy(name, soft=False)
    return ask.options(num_cpus=0, scheduling_strategy=here).remote()


def measure() -> tuple[int, list[int]]:
    """Return this machine's memory and the bytes of each of its cards."""
    return psutil.virtual_memory().total, _cards()


def described(node: dict[str, Any], host_bytes: int, cards: Sequence[int]) -> Node:
    """Return what Ray and the node itself say of it."""
    resources = node["Resources"]
    # Ray may have been told to use fewer cards than there are, and nothing says which: the smallest, to be safe.
    offered = int(resources.get("GPU", 0))
    return Node(
        name=node["NodeID"],
        cpus=resources["CPU"],
        host_bytes=int(HOST_SHARE * host_bytes),
        cards=tuple(sorted(card - CONTEXT_BYTES for card in cards)[:offered]),
    )


def _cards() -> list[int]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    lines = answer.stdout.split() if answer.returncode == 0 else []
    return [int(float(line)) * MIB for line in lines if line.replace(".", "").isdigit()]
