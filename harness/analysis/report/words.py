"""The study in sentences: what was run, what is best, what the curves say, what to distrust."""

from collections import Counter
from collections.abc import Iterator

from harness.analysis.decisions import ParetoPoint, next_trial
from harness.analysis.names import short_name
from harness.analysis.report.figures.memory import compared, deviation
from harness.analysis.report.gather import Report
from harness.analysis.report.provenance import mixed
from harness.analysis.summary import compare, extremes
from harness.units import counted, format_bytes

MOST_NAMED = 6
"""Settings that a sentence lists."""
MOST_COMPARED = 300
"""Settings up to which it is asked what to run next."""
UNSURE = 0.05
"""Probability from which a place on the front is said to be unsure."""


def sentences(report: Report) -> list[str]:
    """Return the summary, most important first, each a full sentence."""
    found = [_run(report)]
    if report.scored:
        found += [_best(report), *_ends(report), *_curves(report), *_front(report), *_next(report)]
    found += [*_memory(report), *_warnings(report)]
    return [f"{text[0].upper()}{text[1:].rstrip('.')}." for text in found]


def _run(report: Report) -> str:
    counts = Counter(row["state"].replace("_", " ") for row in report.rows)
    ends = ", ".join(f"{times:,} {state}" for state, times in sorted(counts.items(), key=lambda end: (-end[1], end[0])))
    settings = len(report.groups)
    tied = [f"{short_name(path)} with {short_name(to)}" for path, to in report.axes.tied.items() if _is_told(path)]
    also = f"; {', '.join(tied)} change together" if tied else ""
    return f"{counted(len(report.rows), 'trial')} of {counted(settings, 'setting')}: {ends}{also}"


def _is_told(path: str) -> bool:
    return path not in ("data.fingerprint", "model.weights")


def _best(report: Report) -> str:
    best = report.scored[0]
    assert best.map_avg is not None
    peak = f", peak memory {format_bytes(best.peak_bytes)}" if best.peak_bytes else ""
    score = f"{best.map_avg.in_percent()} % mAP ({best.map_avg.explained()}){peak}"
    return f"best is {best.name} with {score}" if best.name else f"the setting reaches {score}"


def _ends(report: Report) -> Iterator[str]:
    ends = extremes(report.scored)
    comparison = compare(report.rows, *ends) if ends else None
    if comparison:
        yield comparison.in_words()


def _curves(report: Report) -> Iterator[str]:
    for name, fit in report.fits.items():
        yield fit.in_words() if name == "all trials" else f"{name}: {fit.in_words()}"


def _front(report: Report) -> Iterator[str]:
    best = [point for point in report.pareto if point.on_front]
    if len(report.pareto) < 2:
        return
    listed = "; ".join(_with_peak(point) for point in best[:MOST_NAMED])
    more = f"; and {len(best) - MOST_NAMED} more" if len(best) > MOST_NAMED else ""
    yield f"{len(best):,} of {len(report.pareto):,} settings are on the Pareto front of mAP and memory: {listed}{more}"


def _with_peak(point: ParetoPoint) -> str:
    assert point.group.map_avg is not None
    chance = point.probability_dominated
    unsure = f", beaten with probability {chance:.2f}" if chance is not None and chance >= UNSURE else ""
    return f"{point.group.name} ({100 * point.group.map_avg.mean:.1f} % at {format_bytes(point.cost_bytes)}{unsure})"


def _next(report: Report) -> Iterator[str]:
    if 2 <= len(report.scored) <= MOST_COMPARED:
        yield f"what to run next: {next_trial(report.groups).in_words()}"


def _memory(report: Report) -> Iterator[str]:
    rows = compared(report)
    if rows:
        largest = max(abs(deviation(row)) for row in rows)
        within = f"within {largest:.2f} %" if largest else "to the byte"
        which = f"all {len(rows):,} trials" if len(rows) > 1 else "the one trial"
        yield f"peak memory was predicted {within} on {which} that measured it"
    lost = [row for row in report.rows if row["state"] in ("too_large", "out_of_memory")]
    if lost:
        kinds = Counter(row["state"].replace("_", " ") for row in lost)
        yield "no result for want of memory: " + ", ".join(f"{counted(n, 'trial')} {kind}" for kind, n in kinds.items())


def _warnings(report: Report) -> Iterator[str]:
    different = mixed(report)
    if different:
        yield f"with care: the trials come from {' and '.join(different)}"
    if any(row["git_dirty"] for row in report.rows):
        yield "with care: some trials ran code with changes that were not committed"
    if report.scored and all(group.map_avg and group.map_avg.n == 1 for group in report.scored):
        yield "with care: every setting has a single seed, so differences may be chance"
    if report.skipped:
        yield f"with care: {counted(len(report.skipped), 'file')} of the tables could not be read (see provenance)"
    unreadable = max((row["num_unreadable_videos"] or 0 for row in report.rows), default=0)
    if unreadable:
        yield f"with care: {counted(unreadable, 'video')} could not be read and took no part in training or test"
