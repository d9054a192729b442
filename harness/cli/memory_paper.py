"""`tadscale memory --paper`: the paper's memory numbers beside what is predicted for its set-up, and for ours."""

import json
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.cli.terminal import Terminal
from harness.units import GIB

if TYPE_CHECKING:
    from harness.analysis.paper import PaperTable, Published
    from harness.memory.devices import Device
    from harness.memory.predict import Tracer


LEAN = -2
"""The policy of the ladder that is shown beside the paper's set-up: the last but one, with everything on the host that
can be there and 8 clips at a time; the last takes fewer clips, which is slower."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One number of the paper."""

    table: str
    row: str
    paper_gib: float | None
    """None: out of memory on the paper's 80 GB card."""
    predicted_gib: float
    """For the paper's set-up."""
    ours_gib: float
    """For a lean policy here, which computes the same."""
    ours_host_gib: float
    """What waits on the host then."""
    reserved_gib: float
    """What the allocator would reserve in the paper's set-up."""
    why: str | None
    """An explanation, where the two are far apart."""

    @property
    def error(self) -> float | None:
        """Relative error of the prediction."""
        return None if self.paper_gib is None else self.predicted_gib / self.paper_gib - 1


def show_paper(device: "Device", terminal: Terminal, *, as_json: bool) -> int:
    """Predict and print every row."""
    from harness.cli.plan import cache_dir
    from harness.memory.predict import Tracer

    with Tracer(cache_dir() / "predictions", device=device) as tracer, terminal.stage("predicting") as progress:
        settings = memory_rows()
        rows = []
        for number, (table, row) in enumerate(settings, start=1):
            rows.append(compared(table, row, tracer))
            progress(number, len(settings))
    if as_json:
        print(json.dumps([{**asdict(row), "error": row.error} for row in rows]))
    else:
        _print(rows, terminal)
    return 0


def memory_rows() -> "list[tuple[PaperTable, Published]]":
    """Return the rows of the paper's tables that say something of memory."""
    from harness.analysis.paper import TABLES

    return [(table, row) for table in TABLES for row in table.rows if row.memory_gib is not None or row.out_of_memory]


def compared(table: "PaperTable", row: "Published", tracer: "Tracer") -> Compared:
    """Predict one row."""
    from harness.memory.ladder import ladder
    from harness.memory.reference import CLOSE, explanation, paper_config, with_reference

    values = {**table.setting, **row.at}
    config = paper_config(values)
    theirs = tracer.ask(with_reference(config))
    ours = replace(config, training=replace(config.training, batch_size=1), engine=ladder(config)[LEAN])
    mine = tracer.ask(ours)
    predicted = theirs.peak_bytes / GIB
    far = row.memory_gib is None or abs(predicted / row.memory_gib - 1) > CLOSE
    return Compared(
        table=table.number,
        row=_name(table, row),
        paper_gib=row.memory_gib,
        predicted_gib=predicted,
        ours_gib=mine.peak_bytes / GIB,
        ours_host_gib=mine.host_bytes / GIB,
        reserved_gib=theirs.reserved_bytes / GIB,
        why=explanation(values, out_of_memory=row.out_of_memory) if far else None,
    )


def _name(table: "PaperTable", row: "Published") -> str:
    """Return the row's setting for people: what the table varies, the paper's defaults left unsaid."""
    named = {**{path: table.setting[path] for path in ("model.backbone.name",) if path in table.setting}, **row.at}
    return ", ".join(_short(path, value) for path, value in named.items() if value is not None)


def _short(path: str, value: Any) -> str:
    word = path.rsplit(".", 1)[-1]
    return f"{value} {word}" if isinstance(value, int) else str(value)


def _print(rows: list[Compared], terminal: Terminal) -> None:
    from rich.table import Table

    table = Table(title="The paper's memory (GiB on one GPU, one video), predicted, and here", title_justify="left")
    for name in ("table", "row"):
        table.add_column(name)
    for name in ("paper", "predicted", "off by", "lean here", "and on the host"):
        table.add_column(name, justify="right")
    for row in rows:
        paper = "out of 80 GB" if row.paper_gib is None else f"{row.paper_gib:.1f}"
        off = "-" if row.error is None else f"{100 * row.error:+.1f} %"
        ours = (f"{row.ours_gib:.2f}", f"{row.ours_host_gib:.2f}")
        table.add_row(row.table, row.row, paper, f"{row.predicted_gib:.2f}", off, *ours)
    terminal.console.print(table)
    errors = sorted(abs(row.error) for row in rows if row.error is not None)
    terminal.say(
        f"{len(errors)} numbers: median error {100 * median(errors):.1f} %, largest {100 * errors[-1]:.1f} %, "
        f"{sum(error > 0.15 for error in errors)} above 15 %"
    )
    reasons = {row.why: row for row in rows if row.why}
    for why, row in reasons.items():
        terminal.say(f"{row.table}, {row.row}: {why}")
