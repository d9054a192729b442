"""Whether every machine of a cluster sees the files that trials read and write."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

TIMEOUT_S = 60.0


def check_reach(folder: Path | None, inputs: Callable[[], Sequence[Path]]) -> None:
    """Refuse a cluster of which a machine does not see the study's folder, or a file that trials may read.

    A folder may be there on every machine and still not be the same one, so a mark is left in it and looked for.

    Args:
        folder: the study's folder; None where tables and checkpoints go to a store and it need not be shared.
        inputs: names the files; asked only where there are several machines.

    Raises:
        ValueError: with one sentence that names the machine and the folder or file.
    """
    others = [node for node in ray.nodes() if node["Alive"]]
    if len(others) < 2:
        return
    mark = None if folder is None else folder / f".shared-{uuid.uuid4().hex}"
    if mark:
        mark.touch()
    try:
        seen = _ask(others, [*([mark] if mark else []), *inputs()])
    finally:
        if mark:
            mark.unlink(missing_ok=True)
    for address, there in seen.items():
        for path, found in there.items():
            if mark and path == str(mark) and not found:
                raise ValueError(
                    f"the results folder {folder} is not the same on {address}; on a cluster of several machines "
                    "expected a folder that all of them share, --storage DIR, or a store, --storage s3://bucket/prefix"
                )
            if not found:
                raise ValueError(f"{path} is not on {address}; expected it on every machine of the cluster")


def present(paths: Sequence[str]) -> dict[str, bool]:
    """Return which of the paths are on this machine."""
    return {path: Path(path).exists() for path in paths}


def _ask(nodes: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> dict[str, dict[str, bool]]:
    ask: Any = ray.remote(present)
    asked = {
        node["NodeManagerAddress"]: ask.options(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote([str(path) for path in paths])
        for node in nodes
    }
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=TIMEOUT_S)
    late = [address for address, answer in asked.items() if answer not in ready]
    if late:
        raise ValueError(f"{late[0]} did not answer within {TIMEOUT_S:g} s, expected every machine of the cluster to")
    return {address: _answer(address, answer) for address, answer in asked.items()}


def _answer(address: str, answer: Any) -> dict[str, bool]:
    try:
        return ray.get(answer)
    except RayError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise ValueError(f"{address} cannot run this project ({reason}); expected it installed there too") from None
