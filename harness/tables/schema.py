"""The columns of the results tables: names, Arrow types, units and meanings, all in one place.

Core columns are written out below and keep their names for good. Config columns are derived from the dataclasses
of `harness.config` (`config_columns.py`). `results/README.md` is generated from here:
`python -m harness.tables.readme > results/README.md`.

`VERSION` rises when a column changes its meaning, or its type to one that old values cannot be read as. A column that
is added leaves it (readers fill in nulls), and so does a wider type (readers widen). Every version stays readable:
`tests/harness/tables/fixtures` holds a file of each.
"""

import pyarrow as pa

from harness.tables.config_columns import Column, config_columns

VERSION = 1
VERSION_KEY = b"tadscale_schema"
VERSIONED = {VERSION_KEY: str(VERSION).encode()}
"""What the metadata of every table says of its version."""
TEXTS = pa.map_(pa.string(), pa.string())
NUMBERS = pa.map_(pa.string(), pa.float64())
UTC = pa.timestamp("us", tz="UTC")

CORE = (
    Column("study", pa.string(), "", "Name of the study."),
    Column(
        "trial", pa.string(), "", "Name of the trial for people: what varies in the study, and the seed. Never parsed."
    ),
    Column("digest", pa.string(), "", "Identity of the trial: 16 hex digits of its config, seed included."),
    Column("attempt", pa.int64(), "", "How often the trial had been started, from 1; a row per attempt."),
    Column("seed", pa.int64(), "", "Seed of everything random in the trial; part of the config."),
    Column(
        "state",
        pa.string(),
        "",
        "How the attempt ended: finished, too_large, out_of_memory, failed, stopped_early or interrupted.",
    ),
    Column("error", pa.string(), "", "What went wrong, in one line; null when nothing did."),
    Column(
        "map_avg",
        pa.float64(),
        "0 to 1",
        "Mean average precision over classes and temporal IoU thresholds. Of a trial that was stopped early, the last "
        "one that was measured on its way (the curves say when): no result, and no part of any mean, fit or front.",
    ),
    Column("map_at", NUMBERS, "0 to 1", 'Mean average precision over classes at each temporal IoU, keyed "0.5".'),
    Column("ap", NUMBERS, "0 to 1", "Average precision of each class, averaged over the temporal IoU thresholds."),
    Column(
        "peak_bytes",
        pa.int64(),
        "bytes",
        "Measured peak of live tensor memory during training, on the worker with most.",
    ),
    Column("predicted_peak_bytes", pa.int64(), "bytes", "The same peak as predicted before the trial was run."),
    Column(
        "engine_used",
        pa.string(),
        "",
        "Engine policy that the attempt was executed with, as JSON: what `engine.*` says, or with `auto` the planner.",
    ),
    Column(
        "engine_planned",
        pa.string(),
        "",
        "The policy that ran out of memory before `engine_used`, the next leaner one, took over; null if none did.",
    ),
    Column("memory_source", pa.string(), "", "What measured `peak_bytes`: cpu_tracker or cuda_allocator."),
    Column("peak_reserved_bytes", pa.int64(), "bytes", "Peak reserved by the CUDA caching allocator; null on CPU."),
    Column("host_peak_bytes", pa.int64(), "bytes", "Peak resident memory of the worker process."),
    Column("step_seconds", pa.float64(), "s", "Median duration of a training step, data included."),
    Column("data_wait_share", pa.float64(), "0 to 1", "Share of training time that was spent waiting for data."),
    Column("total_seconds", pa.float64(), "s", "Wall time of the attempt: training, evaluation and checkpoints."),
    Column("train_seconds", pa.float64(), "s", "Wall time of training over all attempts, the test excluded."),
    Column("test_seconds", pa.float64(), "s", "Wall time of the test: windows, detections, mAP."),
    Column(
        "overhead_seconds",
        pa.float64(),
        "s",
        "Time from handing the trial out to its first step, and from its end to the next.",
    ),
    Column("flops", pa.float64(), "operations", "Floating-point operations of a training step; null when not counted."),
    Column("params_total", pa.int64(), "", "Parameters of the detector."),
    Column("params_trainable", pa.int64(), "", "Parameters that are trained."),
    Column("epochs_done", pa.int64(), "", "Epochs that were completed, those before a resume included."),
    Column("num_unreadable_videos", pa.int64(), "", "Videos that could not be read and were left out."),
    Column("num_test_videos", pa.int64(), "", "Test videos that the mAP is over."),
    Column("num_test_actions", pa.int64(), "", "Actions in those videos, after flawed ones were dropped."),
    Column("git_commit", pa.string(), "", "Commit of the code; null outside a repository."),
    Column("git_dirty", pa.bool_(), "", "Whether files differed from that commit."),
    Column("versions", TEXTS, "", "Versions of Python and of the packages that matter, by name."),
    Column("device_name", pa.string(), "", "Model of the GPU or CPU."),
    Column("device_bytes", pa.int64(), "bytes", "Memory of that device."),
    Column("num_workers", pa.int64(), "", "Training workers that shared the trial."),
    Column("argv", pa.list_(pa.string()), "", "Command line that started the study."),
    Column("data_fingerprint", pa.string(), "", "Identity of annotations and video files."),
    Column("weights_identity", pa.string(), "", "Name of the pretrained weights; null when there were none."),
    Column("weights_sha256", pa.string(), "", "SHA-256 of the weights file."),
    Column("slot", pa.string(), "", "Where the trial ran: warm, fresh or inline."),
    Column("started_utc", UTC, "", "When the attempt began."),
    Column("ended_utc", UTC, "", "When the attempt ended."),
)
"""The core columns, in the order in which they stand in the files."""

CURVE_COLUMNS = (
    Column("study", pa.string(), "", "Name of the study."),
    Column("digest", pa.string(), "", "Identity of the trial, as in the trials table."),
    Column("attempt", pa.int64(), "", "Attempt of the trial, as in the trials table."),
    Column("epoch", pa.int64(), "", "Epoch, from 0."),
    Column("step", pa.int64(), "", "Optimiser step, from 0; null for what is known per epoch only."),
    Column("name", pa.string(), "", "What is measured: loss, classification, regression, lr, map_avg, peak_bytes…"),
    Column("value", pa.float64(), "that of `name`", "The measurement."),
)
"""The columns of the curves table: one row per measurement."""


def _schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([column.field for column in columns], metadata=VERSIONED)


CONFIG_UNITS = {
    "frames": ("data.window.frames", "data.window.span", "model.representation.snippet_frames"),
    "cells": ("data.window.features",),
    "pixels": ("data.window.resolution",),
    "epochs": ("training.epochs", "training.cosine_epochs", "training.warmup_epochs"),
    "videos": ("training.batch_size",),
    "0 to 1": (
        *("data.min_kept", "data.min_crop", "data.test_overlap", "data.max_unreadable", "data.augment.flip"),
        *("detection.min_score", "detection.nms_iou", "detection.nms_min_score", "evaluation.tious"),
    ),
}
"""Units of config values; the others are plain numbers or say it in their meaning."""
_CORE_NAMES = {column.name for column in CORE}
_UNITS = {path: unit for unit, paths in CONFIG_UNITS.items() for path in paths}
CONFIG = tuple(
    column._replace(unit=_UNITS.get(column.name, "")) for column in config_columns() if column.name not in _CORE_NAMES
)
"""The config columns; `seed`, a config value too, is among the core columns."""
TRIALS = _schema(CORE + CONFIG)
"""The trials table: one row per attempt of a trial."""
CURVES = _schema(CURVE_COLUMNS)
"""The curves table."""
