"""Where a report's numbers come from: code, versions, machines, data, commands, files that could not be read."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from harness.analysis.export import Cell, Column, Table
from harness.analysis.report.axes import Row
from harness.analysis.report.gather import Report
from harness.tables import VERSION
from harness.units import counted, format_bytes, format_seconds

Fact = tuple[str, str]


def provenance_table(report: Report) -> Table:
    """Return what one has to know to get the same numbers again, a fact per row."""
    rows = report.rows
    facts: list[Fact] = [
        *_counted("commit", (_commit(row) for row in rows)),
        *_counted("command", (shlex.join(row["argv"]) for row in rows if row["argv"])),
        *_counted("device", (_device(row) for row in rows if row["device_name"])),
        *_counted("workers per trial", (str(row["num_workers"]) for row in rows if row["num_workers"])),
        *_counted("memory measured by", (row["memory_source"] for row in rows if row["memory_source"])),
        *_counted("data", (_data(row) for row in rows)),
        *_counted("weights", (_weights(row) for row in rows)),
        *_versions(rows),
        *_times(report.attempts),
        ("schema of the tables", f"version {VERSION}"),
        *(("file left out", f"{str(path).rpartition('/')[2]}: {reason}") for path, reason in report.skipped),
    ]
    return Table(
        name="provenance",
        title="Provenance",
        columns=(Column(key="what", head="what"), Column(key="value", head="value")),
        rows=tuple((Cell(what), Cell(value)) for what, value in facts),
    )


def mixed(report: Report) -> list[str]:
    """Return what differs between trials although the study does not vary it: such means are over unlike things."""
    found = []
    for word, values in (
        ("commits", {row["git_commit"] for row in report.rows if row["git_commit"]}),
        ("kinds of device", {row["device_name"] for row in report.rows if row["device_name"]}),
        ("ways of measuring memory", {row["memory_source"] for row in report.rows if row["memory_source"]}),
    ):
        if len(values) > 1:
            found.append(f"{len(values)} {word}")
    return found


def _counted(what: str, values: Iterable[str]) -> list[Fact]:
    """Return each value once, with the number of trials where there are several."""
    counts = Counter(values)
    if len(counts) == 1:
        return [(what, value) for value in counts]
    return [(what, f"{value} ({counted(times, 'trial')})") for value, times in counts.most_common()]


def _commit(row: Row) -> str:
    if not row["git_commit"]:
        return "unknown, run outside a repository"
    return row["git_commit"] + (" with changes that were not committed" if row["git_dirty"] else "")


def _device(row: Row) -> str:
    memory = f", {format_bytes(row['device_bytes'])}" if row["device_bytes"] else ""
    return f"{row['device_name']}{memory}"


def _data(row: Row) -> str:
    parts = [row["data.name"] or "unknown"]
    if row["data_fingerprint"]:
        parts.append(f"fingerprint {row['data_fingerprint']}")
    if row["num_test_videos"] is not None:
        parts.append(f"{row['num_test_videos']} test videos, {row['num_test_actions']} actions")
    if row["num_unreadable_videos"]:
        parts.append(f"{row['num_unreadable_videos']} videos unreadable and left out")
    return ", ".join(parts)


def _weights(row: Row) -> str:
    if not row["weights_identity"]:
        return "none: random initialisation"
    sha = f", SHA-256 {row['weights_sha256']}" if row["weights_sha256"] else ""
    return f"{row['weights_identity']}{sha}"


def _versions(rows: Sequence[Row]) -> list[Fact]:
    known = [dict(row["versions"]) for row in rows if row["versions"]]
    names = dict.fromkeys(name for versions in known for name in versions)
    said = []
    for name in names:
        found = sorted({versions[name] for versions in known if name in versions})
        said.append(f"{name} {' and '.join(found)}")
    return [("versions", ", ".join(said))] if said else []


def _times(attempts: Sequence[Row]) -> list[Fact]:
    facts = []
    starts = [row["started_utc"] for row in attempts if row["started_utc"]]
    ends = [row["ended_utc"] for row in attempts if row["ended_utc"]]
    if starts and ends:
        facts.append(("run", f"{min(starts):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M} UTC"))
    spent = [row["total_seconds"] for row in attempts if row["total_seconds"]]
    if spent:
        facts.append(
            (
                "time of all attempts",
                f"{format_seconds(sum(spent))} in {counted(len(attempts), 'attempt')}",
            )
        )
    return facts
