"""`tadscale train`: one detector, in this process, without Ray."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import Options, UserError, read_options
from harness.cli.terminal import Terminal
from harness.units import format_bytes

if TYPE_CHECKING:
    from harness.cli.plan import Plan
    from harness.config import TrialConfig
    from harness.study import Study
    from harness.training.loop import Fit, Places

EXAMPLES = """\
what comes out
  DIR/detector.pt      what trained (its moving average), the config and the classes, for `tadscale detect`. The frozen
                       backbone is not in it but named by its digest; keep its file.
  DIR/detections.json  detections of the test subset, for `tadscale evaluate` and `tadscale diagnose`
  DIR/result.json      mAP, times, peak memory, and the config

Stop it with Ctrl-C or kill it whenever you like; the same command goes on from the last epoch and ends with the same
numbers.

examples:
  tadscale train --out first                                                  # synthetic videos, minutes on a laptop
  tadscale train --on custom --data-root DIR --weights videomae-s.pth --out mine
  tadscale train --on thumos14 --data-root DIR --weights DIR --set model.backbone=videomae-b --out b
"""
FORWARDED = (
    *("on", "data_root", "weights", "features", "class_scores", "preset", "device"),
    *("cache_size", "batch_timeout"),
)
"""Options that mean what they mean for a study."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train one detector in this process, without Ray",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train one detector, score it on the test subset and write it where `tadscale detect` finds it.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of what comes out")
    parser.add_argument("--on", metavar="NAME", help="data set, as for a study (default: synthetic, made here)")
    parser.add_argument("--data-root", metavar="DIR", help="folder with videos and annotations.json")
    parser.add_argument("--weights", metavar="PATH", help="pretrained backbone: a file, or a folder with NAME.pth")
    parser.add_argument(
        "--features", metavar="DIR", help="offline features, one file per video (see `tadscale extract --help`)"
    )
    parser.add_argument("--class-scores", metavar="FILE", help="what an external classifier says of the videos")
    parser.add_argument("--preset", choices=("tiny", "quick", "paper", "opentad"), help="default: as for a study")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=V", help="override a config path")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default 0)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: what this machine has)")
    parser.add_argument(
        "--data-workers", type=int, metavar="N", help="decoding processes (default: 4 with CUDA, none on the CPU)"
    )
    parser.add_argument(
        "--cache-size", metavar="SIZE", help="of decoded frames on disk, as for a study (16GiB; 0: none)"
    )
    parser.add_argument(
        "--batch-timeout",
        metavar="SECONDS",
        help="give up when no batch comes, nor any sign of life from the loader, for this long (default: 600)",
    )
    parser.add_argument("--json", action="store_true", help="the result on standard output, everything else on stderr")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def run(given: argparse.Namespace) -> int:
    """Train; return 0, or 130 where Ctrl-C stopped it."""
    from harness.cli.lock import one_driver
    from harness.tables import check_writable

    options = _options(given)
    terminal = Terminal(json=given.json, quiet=given.quiet)
    check_writable(given.out)
    with one_driver(given.out):
        return _train(given, options, terminal)


def _options(given: argparse.Namespace) -> Options:
    """Read what a study takes too as a study does."""
    argv: list[str] = ["--results", str(given.out.parent)]
    for name in FORWARDED:
        if getattr(given, name) is not None:
            argv += [f"--{name.replace('_', '-')}", str(getattr(given, name))]
    for text in given.set:
        if "," in text:
            raise UserError(f"--set is {text}, expected one value; a study takes several")
        argv += ["--set", text]
    return read_options(_study(given), argv)


def _study(given: argparse.Namespace) -> "Study":
    """Return a study of one trial, so that data, weights and settings are found as a study finds them."""
    from harness import presets
    from harness.data.datasets import THUMOS14, dataset_of
    from harness.study import Grid, Study

    dataset = dataset_of(given.on or "synthetic")
    published = THUMOS14 if dataset.name == "synthetic" else dataset
    return Study(
        name=given.out.name,
        title="one detector",
        presets={
            "tiny": Grid(base=presets.synthetic_adatad(), axes={}),
            "quick": Grid(base=presets.synthetic_adatad(quick=True), axes={}),
            "paper": Grid(base=presets.paper(published), axes={}),
            "opentad": Grid(base=presets.paper(published, variant="opentad"), axes={}),
        },
        x="data.window.frames",
    )


def _train(given: argparse.Namespace, options: Options, terminal: Terminal) -> int:
    from harness.cli.plan import make_plan
    from harness.cli.reporter import TerminalReporter
    from harness.config import with_value
    from harness.memory.measure import meter_for
    from harness.training.checkpoint import CHECKPOINT
    from harness.training.loop import fit
    from harness.training.report import Interrupted

    plan = make_plan(_study(given), options, terminal, prepare=True)
    config = _with_policy(with_value(plan.trials[0].config, "seed", given.seed), plan, terminal)
    for note in plan.sources.notes if plan.sources else ():
        terminal.note(note)
    if done := _earlier(given.out, config):
        terminal.note(f"{given.out} holds this run, finished; another --out or another --seed runs it again")
        _show(given, done, terminal)
        return 0
    places = _places(given, plan, config)
    terminal.note(f"training on {places.device}: {config.training.epochs} epochs")
    try:
        with TerminalReporter(terminal) as reporter:
            meter = meter_for(places.device, config.engine)
            outcome = fit(config, places, reporter, meter)
    except Interrupted as stop:
        terminal.say(f"{stop}; start the same command again to go on")
        return 130
    result = _result(outcome, config, getattr(meter, "peak_bytes", None))
    _write(given.out / "result.json", result)
    (given.out / CHECKPOINT).unlink(missing_ok=True)
    _show(given, result, terminal)
    return 0


def _with_policy(config: "TrialConfig", plan: "Plan", terminal: Terminal) -> "TrialConfig":
    """Let the planner decide how a step is executed, where that was left to it (`engine.policy=auto`)."""
    if config.engine.policy != "auto":
        return config
    from harness.cli.plan import cache_dir
    from harness.memory.plan import engine_in_words, resolve
    from harness.memory.predict import Tracer

    with Tracer(cache_dir() / "predictions", device=plan.device) as tracer:
        engine = resolve(config, plan.budget_bytes, tracer)
    terminal.note(f"engine: {engine_in_words(engine)}")
    return replace(config, engine=engine)


def _places(given: argparse.Namespace, plan: "Plan", config: "TrialConfig") -> "Places":
    import os

    from harness.data.cache import cache_here
    from harness.training.loop import Places

    sources = plan.sources
    assert sources is not None
    cuda = plan.device.name != "cpu"
    return Places(
        dataset=sources.dataset,
        weights=sources.weights[config.model.backbone.name],
        work=given.out,
        device="cuda" if cuda else "cpu",
        threads=os.cpu_count() or 1,
        data_workers=(4 if cuda else 0) if given.data_workers is None else given.data_workers,
        features=plan.options.features,
        class_scores=plan.options.class_scores,
        cache=cache_here(plan.options.cache_size),
        batch_timeout_s=plan.options.batch_timeout,
    )


def _earlier(out: Path, config: "TrialConfig") -> dict[str, Any] | None:
    """Return the result of this very run if it was finished; note the config of one that begins.

    Raises:
        UserError: the folder holds a run with other settings.
    """
    from harness.config import digest, flatten

    note = out / "config.json"
    flat = json.loads(json.dumps(flatten(config)))
    if not note.is_file():
        _write(note, flat)
        return None
    before = _read(note)
    other = next((path for path in {**before, **flat} if before.get(path) != flat.get(path)), None)
    if other:
        raise UserError(
            f"--out is {out}, which holds a run with {other} {before.get(other)}, not {flat.get(other)}; "
            "expected another folder"
        )
    result = out / "result.json"
    found = _read(result) if result.is_file() else {}
    return found if found.get("digest") == digest(config) else None


def _read(path: Path) -> dict[str, Any]:
    from harness.data.files import read_json

    value = read_json(path, "note of a run")
    if not isinstance(value, dict):
        raise UserError(f"{path} is no note of a run, expected it as it was written; or choose another --out")
    return value


def _result(outcome: "Fit", config: "TrialConfig", peak_bytes: int | None) -> dict[str, Any]:
    from harness.config import digest, flatten

    measured = outcome.result
    return {
        "digest": digest(config),
        "map_avg": measured.map_avg,
        "map_at": {f"{tiou:g}": value for tiou, value in measured.map_at.items()},
        "ap": measured.ap_mean,
        "videos": measured.num_videos,
        "instances": measured.num_instances,
        "peak_bytes": peak_bytes,
        "train_seconds": outcome.train_seconds,
        "test_seconds": outcome.test_seconds,
        "params_total": outcome.params_total,
        "params_trainable": outcome.params_trainable,
        "unreadable": outcome.unreadable,
        "config": flatten(config),
    }


def _write(path: Path, value: Any) -> None:
    from harness.atomic import whole_file

    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1))


def _show(given: argparse.Namespace, result: dict[str, Any], terminal: Terminal) -> None:
    out: Path = given.out
    files = {
        "detector": out / "detector.pt",
        "detections": out / "detections.json",
        "result": out / "result.json",
    }
    if given.json:
        print(json.dumps({**result, **{name: str(path) for name, path in files.items()}}, allow_nan=False))
        return
    at = ", ".join(f"{100 * value:.1f} at {tiou}" for tiou, value in result["map_at"].items())
    terminal.say(
        f"mAP {100 * result['map_avg']:.1f} % ({at}) over {result['videos']} videos, {result['instances']} actions"
    )
    peak = result["peak_bytes"]
    memory = f", peak memory of a step {format_bytes(peak)}" if peak else ""
    terminal.say(f"{result['train_seconds']:.0f} s of training, {result['test_seconds']:.0f} s of testing{memory}")
    for name, path in files.items():
        terminal.say(f"{name:<11} {path}")
    terminal.say(f"next: tadscale detect VIDEO --checkpoint {files['detector']}")
