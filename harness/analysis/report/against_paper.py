"""The report's tables in the paper's layout, the paper's numbers beside ours."""

from harness.analysis.export import Table
from harness.analysis.paper_table import study_tables
from harness.analysis.report.gather import Report


def paper_tables(report: Report) -> list[Table]:
    """Return one table for each table of the paper that asks what this study asks."""
    return study_tables(report.study, report.rows)
