"""What fits on which card, in the paper's set-up and here: the largest input of every backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.export import Cell, Column, Table
from harness.analysis.paper.lookup import TABLES
from harness.analysis.paper.rows import BACKBONE, FRAMES, PLACEMENT, RESOLUTION, is_at
from harness.units import GIB

NOTHING = Cell("does not fit", 0.0)


@dataclass(frozen=True, kw_only=True)
class Input:
    """A backbone with one input, and what a training step of one video needs."""

    backbone: str
    frames: int
    resolution: int
    paper_bytes: int
    """In the paper's set-up."""
    lean_bytes: int
    """With the leanest policy here, which computes the same numbers."""
    lean_host_bytes: int
    """What that policy keeps in the host's memory."""

    @property
    def pixels(self) -> int:
        """Pixels of a window."""
        return self.frames * self.resolution**2


def frontier_table(inputs: Sequence[Input], cards: Mapping[str, int]) -> Table:
    """Return one line per card and backbone: the largest input that fits, in the paper's set-up and here.

    Args:
        inputs: What was predicted, in any order.
        cards: Bytes that tensors can occupy, by the card's name, as they shall be listed.
    """
    columns = (
        Column(key="card", head="card"),
        Column(key="backbone", head="backbone"),
        Column(key="paper", head="largest input, paper's set-up", numeric=True),
        Column(key="paper_gib", head="GiB", numeric=True),
        Column(key="here", head="largest input here", numeric=True),
        Column(key="here_gib", head="GiB here", numeric=True),
        Column(key="here_host_gib", head="host GiB here", numeric=True),
        Column(key="times", head="times the pixels", numeric=True),
    )
    names = list(dict.fromkeys(each.backbone for each in inputs))
    rows = tuple(_line(card, usable, name, inputs) for card, usable in cards.items() for name in names)
    return Table(name="frontier", title="What fits on which card", columns=columns, rows=rows, note=_note(inputs))


def _note(inputs: Sequence[Input]) -> str:
    most = max(inputs, key=lambda each: each.pixels)
    notes = [
        "Predicted, one video per GPU",
        f"no input larger than {most.frames:,} frames of {most.resolution}² was asked about",
        "here: the leanest policy, the planner takes the fastest that fits; host memory is told, not bounded",
    ]
    notes += [
        f"what tensors occupy: the paper has {each.backbone} run out of memory on 80 GB with {each.frames:,} frames of "
        f"{each.resolution}², where {each.paper_bytes / GIB:.1f} GiB are predicted and fragments of the allocator come "
        "on top"
        for each in inputs
        if _ran_out(each)
    ]
    return "; ".join(notes)


def _ran_out(each: Input) -> bool:
    """Return whether the paper could not train an input on its 80 GB card (Table 6)."""
    at = {BACKBONE: each.backbone, PLACEMENT: "inside", FRAMES: each.frames, RESOLUTION: each.resolution}
    return any(row.out_of_memory and is_at(at, row.at) for table in TABLES for row in table.rows)


def _line(card: str, usable: int, backbone: str, inputs: Sequence[Input]) -> tuple[Cell, ...]:
    own = [each for each in inputs if each.backbone == backbone]
    paper = max((each for each in own if each.paper_bytes <= usable), key=lambda each: each.pixels, default=None)
    here = max((each for each in own if each.lean_bytes <= usable), key=lambda each: each.pixels, default=None)
    times = here.pixels / paper.pixels if here and paper else None
    return (
        Cell(card),
        Cell(backbone),
        _said(paper),
        _gib(paper.paper_bytes if paper else None),
        _said(here),
        _gib(here.lean_bytes if here else None),
        _gib(here.lean_host_bytes if here else None),
        Cell("") if times is None else Cell(f"{times:.1f}", times),
    )


def _said(found: Input | None) -> Cell:
    return NOTHING if found is None else Cell(f"{found.frames:,} frames of {found.resolution}²", found.pixels)


def _gib(amount: int | None) -> Cell:
    return Cell("") if amount is None else Cell(f"{amount / GIB:.1f}", amount / GIB)
