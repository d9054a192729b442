"""One self-contained HTML page per study, and its tables as values."""

from harness.analysis.report.gather import Report, gather
from harness.analysis.report.page import all_tables, render
from harness.analysis.report.write import REPORT_NAME, file_name, report_places, save, study_folders, write_report

__all__ = [
    "REPORT_NAME",
    "Report",
    "all_tables",
    "file_name",
    "gather",
    "render",
    "report_places",
    "save",
    "study_folders",
    "write_report",
]
