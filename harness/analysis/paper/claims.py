"""The paper's conclusions as data, and whether a study's trials bear them out: with what interval, over how many seeds.

A conclusion says that one arm beats another, or is no worse. Sizes are named by their place (`SMALLEST`, `MIDDLE`,
`LARGEST`), so that the same sentence is asked of the paper's numbers, of a laptop's study and of a cluster's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from harness.analysis.decisions import PairedComparison, paired_comparison
from harness.analysis.export import Cell, Column, Table
from harness.analysis.paper.lookup import paper_rows, tables_of
from harness.analysis.paper.rows import (
    ADAPTER,
    BACKBONE,
    FRAMES,
    HEAD,
    KERNEL,
    PLACEMENT,
    REPRESENTATION,
    RESOLUTION,
    SPATIAL_KERNEL,
    TUNING,
)
from harness.analysis.report.axes import is_size

Row = Mapping[str, Any]


class Size(Enum):
    """A place among the values that were run, from small to large."""

    SMALLEST = 0
    MIDDLE = 1
    LARGEST = 2


SMALLEST, MIDDLE, LARGEST = Size


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One conclusion of the paper."""

    study: str
    words: str
    kind: Literal["beats", "is no worse than"] = "beats"
    better: Mapping[str, Any]
    """Config path -> value, or a place among the values."""
    worse: Mapping[str, Any]
    over: tuple[str, ...] = ()
    """Config paths that trials are paired by besides the seed."""


CLAIMS = (
    Claim(
        study="compare_tuning",
        words="AdaTAD beats offline features",
        better={TUNING: "adapter"},
        worse={TUNING: "features"},
        over=(BACKBONE,),
    ),
    Claim(
        study="compare_tuning",
        words="AdaTAD is no worse than full fine-tuning",
        kind="is no worse than",
        better={TUNING: "adapter"},
        worse={TUNING: "full", REPRESENTATION: "frame"},
        over=(BACKBONE,),
    ),
    Claim(
        study="compare_adapters",
        words="TIA beats the plain adapter",
        better={TUNING: "adapter", ADAPTER: "tia"},
        worse={TUNING: "adapter", ADAPTER: "plain"},
    ),
    Claim(
        study="compare_adapters",
        words="TIA beats TIA without its residual",
        better={TUNING: "adapter", ADAPTER: "tia"},
        worse={TUNING: "adapter", ADAPTER: "tia_no_residual"},
    ),
    Claim(
        study="compare_placement",
        words="Inside is no worse than outside at equal input",
        kind="is no worse than",
        better={PLACEMENT: "inside"},
        worse={PLACEMENT: "outside"},
        over=(BACKBONE, RESOLUTION),
    ),
    Claim(
        study="compare_placement",
        words="Outside at more pixels is no worse than inside at fewer (about equal memory)",
        kind="is no worse than",
        better={PLACEMENT: "outside", RESOLUTION: LARGEST},
        worse={PLACEMENT: "inside", RESOLUTION: SMALLEST},
        over=(BACKBONE,),
    ),
    Claim(
        study="scale_frames",
        words="More frames help",
        better={FRAMES: LARGEST},
        worse={FRAMES: SMALLEST},
        over=(RESOLUTION,),
    ),
    Claim(
        study="scale_frames",
        words="More pixels help",
        better={RESOLUTION: LARGEST},
        worse={RESOLUTION: SMALLEST},
        over=(FRAMES,),
    ),
    Claim(
        study="scale_frames",
        words="At about equal memory, pixels are worth more than frames",
        better={FRAMES: SMALLEST, RESOLUTION: LARGEST},
        worse={FRAMES: MIDDLE, RESOLUTION: SMALLEST},
    ),
    Claim(
        study="scale_kernel",
        words="Longer kernels do not help",
        kind="is no worse than",
        better={KERNEL: 3, SPATIAL_KERNEL: 1},
        worse={KERNEL: LARGEST, SPATIAL_KERNEL: 1},
    ),
    Claim(
        study="scale_kernel",
        words="Spatial kernels do not help",
        kind="is no worse than",
        better={KERNEL: 3, SPATIAL_KERNEL: 1},
        worse={KERNEL: 3, SPATIAL_KERNEL: 3},
    ),
    Claim(
        study="scale_backbone",
        words="The largest VideoMAE beats the smallest at equal input",
        better={BACKBONE: LARGEST, PLACEMENT: "inside"},
        worse={BACKBONE: SMALLEST, PLACEMENT: "inside"},
    ),
    Claim(
        study="compare_heads",
        words="Every head gains from AdaTAD",
        better={TUNING: "adapter"},
        worse={TUNING: "features"},
        over=(HEAD,),
    ),
)
"""In the paper's order of importance."""


def check(claim: Claim, rows: Sequence[Row]) -> PairedComparison | None:
    """Return how the better arm of a claim compares with the worse one; None when they share no trial."""
    if not rows:
        return None
    arms = [{path: _resolved(path, value, rows) for path, value in arm.items()} for arm in (claim.better, claim.worse)]
    if arms[0] == arms[1]:
        return None
    return paired_comparison(rows, arms[0], arms[1], over=claim.over)


def verdict(claim: Claim, found: PairedComparison | None) -> str:
    """Return in words whether a claim is borne out; only an interval that leaves out 0 decides."""
    if found is None:
        return "not asked"
    if found.distinguishable is None:
        return "one pair only"
    if found.distinguishable:
        return "yes" if found.mean > 0 else "no, the opposite"
    return "yes, level" if claim.kind == "is no worse than" else "cannot be told"


def claims_table(rows_of: Mapping[str, Sequence[Row]], claims: Sequence[Claim] = CLAIMS) -> Table:
    """Return one line per conclusion: the paper's difference, ours with its interval, and the verdict.

    Args:
        rows_of: Each study's trials, by its name.
        claims: Which conclusions.
    """
    columns = (
        Column(key="conclusion", head="the paper's conclusion"),
        Column(key="study", head="study"),
        Column(key="paper", head="paper, points", numeric=True),
        Column(key="ours", head="ours, points", numeric=True),
        Column(key="pairs", head="better in"),
        Column(key="verdict", head="borne out here"),
    )
    return Table(
        name="claims",
        title="The paper's conclusions",
        columns=columns,
        rows=tuple(_line(claim, rows_of.get(claim.study, ())) for claim in claims),
        note="Differences of mAP in points over pairs of equal seed; ± is half of the 90 % interval of the mean; "
        "where it leaves out 0 the answer is yes or no",
    )


def _line(claim: Claim, rows: Sequence[Row]) -> tuple[Cell, ...]:
    found = check(claim, rows)
    published = check(claim, paper_rows(tables_of(claim.study)[0].rows))
    return (
        Cell(claim.words),
        Cell(claim.study),
        Cell("") if published is None else Cell(f"{100 * published.mean:+.1f}", 100 * published.mean),
        _difference(found),
        Cell("") if found is None else Cell(f"{found.wins} of {len(found.differences)}"),
        Cell(verdict(claim, found)),
    )


def _difference(found: PairedComparison | None) -> Cell:
    if found is None:
        return Cell("")
    spread = "" if found.half_width is None else f" ± {100 * found.half_width:.1f}"
    return Cell(f"{100 * found.mean:+.1f}{spread}", 100 * found.mean)


def _resolved(path: str, value: Any, rows: Sequence[Row]) -> Any:
    """Return the value that is meant by a place: of numbers by size, of VideoMAEs by their parameters."""
    if not isinstance(value, Size):
        return value
    ordered = sorted(rows, key=lambda row: row.get("params_total") or 0)
    values = list(dict.fromkeys(row[path] for row in ordered))
    if path == BACKBONE:
        values = [name for name in values if name.startswith("videomae")] or values
    values = sorted(values) if all(map(is_size, values)) else values
    return values[{SMALLEST: 0, MIDDLE: len(values) // 2, LARGEST: -1}[value]]
