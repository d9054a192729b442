"""Annotation formats: one file for each, all read into a `Listing` (harness.data.listing)."""

from harness.data.formats.activitynet import read_schema
from harness.data.formats.sources import Source, source_of, sources_in

__all__ = ["Source", "read_schema", "source_of", "sources_in"]
