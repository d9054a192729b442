"""Checking a data set before hours are spent on it: annotations, videos, and which of the flaws matter."""

from harness.data.checks.counts import SubsetCounts
from harness.data.checks.findings import Finding
from harness.data.checks.folder import FolderCheck, SourceCheck, check_folder
from harness.data.checks.videos import VideoCheck, VideoCounts

__all__ = ["Finding", "FolderCheck", "SourceCheck", "SubsetCounts", "VideoCheck", "VideoCounts", "check_folder"]
