"""The results: one immutable Parquet file per trial attempt, and ways to ask about them."""

from harness.tables.compaction import WORTH_IT, Compacted, compact
from harness.tables.config_columns import config_values
from harness.tables.front import pareto
from harness.tables.gather import Skipped
from harness.tables.query import ARCHIVE_FOLDER, Loaded, best, latest, load, read_curves, read_trials
from harness.tables.schema import CURVES, TRIALS, VERSION
from harness.tables.select import sql
from harness.tables.storage import Location, Place, TableUnwritable, check_writable
from harness.tables.write import write_curves, write_row

__all__ = [
    "ARCHIVE_FOLDER",
    "CURVES",
    "TRIALS",
    "VERSION",
    "WORTH_IT",
    "Compacted",
    "Loaded",
    "Location",
    "Place",
    "Skipped",
    "TableUnwritable",
    "best",
    "check_writable",
    "compact",
    "config_values",
    "latest",
    "load",
    "pareto",
    "read_curves",
    "read_trials",
    "sql",
    "write_curves",
    "write_row",
]
