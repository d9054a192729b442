"""What the arms of a study get wrong, side by side (the paper's Figures 4 and 6): DETAD analyses of their trials."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.analysis.export import Cell, Column, Table
from harness.analysis.summary import Spread
from harness.evaluation.detad import KINDS, Diagnosis

Number = Callable[[Diagnosis], float | None]
"""A share of 1 that an analysis holds; None where it has none."""


def error_table(arms: Mapping[str, Sequence[Diagnosis]], *, title: str) -> Table:
    """Return one column per arm and one line per kind of error and bin, as means over seeds in percent.

    Args:
        arms: The analyses of each arm's seeds, by its name.
        title: Of the table.
    """
    first = next(iter(arms.values()))[0]
    columns = (
        Column(key="what", head="what"),
        Column(key="which", head="of"),
        *(Column(key=name.replace(" ", "_"), head=f"{name} %", numeric=True) for name in arms),
    )
    rows = tuple(
        (Cell(what), Cell(which), *(_cell(number, analyses) for analyses in arms.values()))
        for what, which, number in _numbers(first)
    )
    seeds = max(len(analyses) for analyses in arms.values())
    note = (
        "G: as many detections of each class as it has actions; gain: normalised mAP without that kind of error; "
        f"tIoU {', '.join(f'{tiou:g}' for tiou in first.tious)}; {seeds} seed{'s' if seeds > 1 else ''}"
    )
    return Table(name="errors", title=title, columns=columns, rows=rows, note=note)


def _cell(number: Number, analyses: Sequence[Diagnosis]) -> Cell:
    values = [value for analysis in analyses if (value := number(analysis)) is not None]
    if not values:
        return Cell("")
    spread = Spread.of(values)
    return Cell(spread.in_percent(), 100 * spread.mean)


def _numbers(first: Diagnosis) -> Iterator[tuple[str, str, Number]]:
    yield "normalised mAP", "all", lambda one: one.sensitivity.overall
    for code, kind in enumerate(KINDS):
        yield "share of the best 1G", kind, lambda one, code=code: float(one.false_positives.profile[0, code])
    for kind in first.false_positives.gain:
        yield "gain", kind, lambda one, kind=kind: one.false_positives.gain[kind]
    yield "missed", "all", lambda one: one.missed.overall
    for name, bins in first.missed.bins.items():
        for size in bins:
            yield "missed", f"{name} {size}", lambda one, name=name, size=size: one.missed.bins[name].get(size)
