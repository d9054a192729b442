"""`tadscale memory`: the peak memory of a config's training step, without data, weights or a GPU."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError, override_grid, split_setting
from harness.cli.results import check_results
from harness.cli.terminal import Terminal
from harness.units import GIB, parse_bytes

if TYPE_CHECKING:
    from harness.config import TrialConfig
    from harness.memory.calibration import Calibration
    from harness.memory.devices import Device
    from harness.memory.predict import Prediction
    from harness.study import Grid

EXAMPLES = """\
The real training step runs on tensors without contents; nothing is downloaded and no memory is used. One video per
GPU, as in the paper, unless --set training.batch_size=N says otherwise. Equal steps are traced once and remembered.

examples:
  tadscale memory --backbone videomae-g
  tadscale memory --backbone videomae-g --set data.window.frames=1536 --set data.window.resolution=224 --plot g.png
  tadscale memory --backbone videomae-l --set engine.policy=auto --device rtx4090-24gb
  tadscale memory --paper
"""
DEFAULT_CARD = "a100-80gb"
"""Whose rules hold where no device is named and this machine has no GPU: the paper's kind of card."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "memory",
        allow_abbrev=False,
        help="predict the memory of a training step, with a breakdown",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Predict the peak memory of one config's training step, beside the paper's set-up.",
        epilog=EXAMPLES,
    )
    add_config(parser)
    parser.add_argument("--budget", type=budget_bytes, metavar="SIZE", help="with engine.policy=auto: what may be used")
    parser.add_argument("--paper", action="store_true", help="predict every memory number of the paper instead")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the breakdown (.png, .svg or .pdf)")
    parser.add_argument(
        "--calibrate",
        metavar="DIR",
        help="results folder whose finished trials, measured against their predictions, correct this one",
    )
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    return parser


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare the options that name a config, spelled as those of the studies."""
    parser.add_argument("--backbone", metavar="NAME", help="short for --set model.backbone=NAME (default: videomae-s)")
    parser.add_argument("--on", default="thumos14", metavar="DATASET", help="whose settings hold (default: thumos14)")
    parser.add_argument("--preset", choices=("paper", "opentad", "tiny"), default="paper", help="default: paper")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=V[,V...]", help="override a config path")
    parser.add_argument("--device", metavar="NAME", help=f"a card such as rtx4090-24gb, cuda, cpu ({DEFAULT_CARD})")


def run(given: argparse.Namespace) -> int:
    """Print the breakdown, or the paper's numbers beside the predicted ones."""
    device = device_of(given)
    terminal = Terminal(json=given.json)
    if given.paper:
        from harness.cli.memory_paper import show_paper

        return show_paper(device, terminal, as_json=given.json)
    grid = grid_of(given)
    if grid.axes:
        raise UserError(f"--set has several values for {', '.join(grid.paths)}; expected one each, or tadscale plan")
    with terminal.stage("predicting memory"):
        predictions, words = _predict(grid.base, device, given.budget)
    _show(given, grid.base, device, predictions, words, terminal)
    return 0


def device_of(given: argparse.Namespace) -> "Device":
    """Return the device to predict for."""
    from harness.memory.devices import KNOWN, find_device

    found = find_device(given.device)
    return KNOWN[DEFAULT_CARD] if given.device is None and found.name == "cpu" else found


def grid_of(given: argparse.Namespace) -> "Grid":
    """Return the config that the options name, and what they vary.

    Raises:
        ValueError: an unknown name or path, or values that do not fit.
    """
    from harness import presets
    from harness.config import with_value
    from harness.data.datasets import dataset_of
    from harness.study import Grid
    from models.config import BACKBONES

    if given.backbone is not None and given.backbone not in BACKBONES:
        raise UserError(f"--backbone is {given.backbone}, expected one of {', '.join(BACKBONES)}")
    if given.preset == "tiny":
        base = presets.synthetic_adatad()
        base = with_value(base, "model.backbone", BACKBONES[given.backbone]) if given.backbone else base
    else:
        base = presets.paper(dataset_of(given.on), given.backbone or "videomae-s", given.preset)
    base = with_value(base, "training.batch_size", 1)
    return override_grid(Grid(base=base, axes={}), [split_setting(text) for text in given.set], None)


def budget_bytes(text: str) -> int:
    """Read `--budget`."""
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _predict(
    config: "TrialConfig", device: "Device", budget: int | None
) -> "tuple[dict[str, Prediction], dict[str, str]]":
    """Return the predictions by name, and the policy of each in words."""
    from harness.cli.plan import cache_dir
    from harness.memory.plan import choose, engine_in_words
    from harness.memory.predict import Tracer
    from harness.memory.reference import with_reference

    with Tracer(cache_dir() / "predictions", device=device) as tracer:
        limit = min(budget or device.usable_bytes, device.usable_bytes)
        choice = choose(config, limit, tracer)
        predictions = {"here": choice.prediction}
        words = {"here": engine_in_words(choice.engine)}
        if config.model.tuning != "features" and config.engine.policy != "reference":
            predictions["paper's set-up"] = tracer.ask(with_reference(config))
            words["paper's set-up"] = "fp16 autocast over fp32 weights, checkpoints, full average, gradient buckets"
    return predictions, words


def _show(
    given: argparse.Namespace,
    config: "TrialConfig",
    device: "Device",
    predictions: "dict[str, Prediction]",
    words: dict[str, str],
    terminal: Terminal,
) -> None:
    from harness.memory.formula import estimate_bytes
    from harness.memory.report import as_json, breakdown_table, draw, moments, seconds_in_words

    title = _title(config)
    estimate = estimate_bytes(config)
    here = predictions["here"].peak_bytes
    learnt = _calibration(given.calibrate, device) if given.calibrate else None
    if given.json:
        document: dict[str, Any] = {name: as_json(each, device) for name, each in predictions.items()}
        policies = {"policies": words, "device": device.name, "formula_bytes": estimate}
        document |= {"calibration": learnt.as_json(here)} if learnt else {}
        print(json.dumps({**document, **policies}))
    else:
        terminal.console.print(breakdown_table(predictions, f"{title}, on {device.name}"))
        for line in (*moments(predictions), *(f"{name}: {text}" for name, text in words.items())):
            terminal.say(line)
        for name, each in predictions.items():
            terminal.say(f"{name}: about {seconds_in_words(each, device)} a step without data loading")
        if estimate is not None:
            terminal.say(f"a formula instead of the trace says {estimate / GIB:.2f} GiB for the policy here")
        if learnt is not None:
            terminal.say(
                f"calibrated: {learnt.on(here) / GIB:.2f} GiB here, since {learnt.trials} finished trials measured "
                f"{learnt.ratio:.3f} times what was predicted ({learnt.lowest:.3f} to {learnt.highest:.3f})"
            )
    if given.plot:
        terminal.note(f"picture: {draw(predictions, given.plot, title)}")


def _calibration(results: str, device: "Device") -> "Calibration":
    """Return what the finished trials in a results folder, measured as on this kind of device, say of predictions."""
    from harness.memory.calibration import FEWEST, calibrate
    from harness.tables import load

    check_results("--calibrate", results)
    source = "cpu_tracker" if device.name == "cpu" else "cuda_allocator"
    rows = load(results).select(["state", "memory_source", "predicted_peak_bytes", "peak_bytes"]).to_pylist()
    pairs = [
        (row["predicted_peak_bytes"] or 0, row["peak_bytes"])
        for row in rows
        if row["state"] == "finished" and row["memory_source"] == source and row["peak_bytes"]
    ]
    learnt = calibrate(pairs)
    if learnt is None:
        raise UserError(
            f"--calibrate is {results}, which has {len(pairs)} finished trials measured by {source}, "
            f"expected at least {FEWEST}"
        )
    return learnt


def _title(config: "TrialConfig") -> str:
    model, window = config.model, config.data.window
    placed = f" {model.adapter.placement}" if model.adapter else ""
    adapter = f", {model.adapter.kind}{placed}" if model.adapter else f", {model.tuning}"
    return f"{model.backbone.name}{adapter}, {window.frames} frames of {window.resolution} x {window.resolution}"
