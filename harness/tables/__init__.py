"""The results: one immutable Parquet file per trial attempt, and ways to ask about them."""

from harness.tables.config_columns import config_values
from harness.tables.query import Loaded, Skipped, best, latest, load, read_curves, read_trials, sql
from harness.tables.schema import CURVES, TRIALS, VERSION
from harness.tables.write import TableUnwritable, check_writable, write_curves, write_row

__all__ = [
    "CURVES",
    "TRIALS",
    "VERSION",
    "Loaded",
    "Skipped",
    "TableUnwritable",
    "best",
    "check_writable",
    "config_values",
    "latest",
    "load",
    "read_curves",
    "read_trials",
    "sql",
    "write_curves",
    "write_row",
]
