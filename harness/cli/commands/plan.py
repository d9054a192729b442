"""`tadscale plan`: the fastest engine policy that fits a card, for one config or several; and what fits at all."""

import argparse
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.cli.commands.memory import DEFAULT_CARD, add_config, budget_bytes, device_of, grid_of
from harness.cli.terminal import Terminal
from harness.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from harness.config import TrialConfig
    from harness.memory.devices import Device
    from harness.memory.frontier import Reach
    from harness.memory.plan import Choice
    from harness.study import Grid

EXAMPLES = f"""\
Policies are tried from fast (every activation kept) to lean (streamed, with all that can be on the host there); they
compute the same numbers. --set with several values plans every combination. Budgets are what tensors may occupy on one
GPU; without --budget it is what the device has left beside the CUDA context ({DEFAULT_CARD} unless --device is given).
--what-fits asks how long a window each card takes; what the paper's set-up takes beside that says `tadscale frontier`.

examples:
  tadscale plan --backbone videomae-g --budget 24GiB
  tadscale plan --device rtx4090-24gb --set model.backbone=videomae-s,videomae-l --set data.window.frames=768,1536
  tadscale plan --what-fits
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "plan",
        allow_abbrev=False,
        help="the fastest engine policy that fits a card, and what fits at all",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Choose how a training step is executed under a memory budget.",
        epilog=EXAMPLES,
    )
    add_config(parser)
    parser.add_argument("--budget", type=budget_bytes, metavar="SIZE", help="what may be used, e.g. 24GiB")
    parser.add_argument("--what-fits", action="store_true", help="the longest windows that fit on cards of 8 to 141 GB")
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    return parser


def run(given: argparse.Namespace) -> int:
    """Print the chosen policies, or the frontier."""
    from harness.cli.plan import cache_dir
    from harness.memory.predict import Tracer

    device, terminal = device_of(given), Terminal(json=given.json)
    grid = grid_of(given)
    with Tracer(cache_dir() / "predictions", device=device) as tracer:
        if given.what_fits:
            from harness.memory.frontier import frontier

            with terminal.stage("predicting memory") as progress:
                reaches = frontier(grid.base, tracer, progress)
            _show_frontier(reaches, terminal, as_json=given.json)
            return 0
        budget = min(given.budget or device.usable_bytes, device.usable_bytes)
        choices = _choose_all(grid, budget, tracer, terminal)
    _show(grid, choices, device, budget, terminal, as_json=given.json)
    return 0


def _choose_all(grid: "Grid", budget: int, tracer: Any, terminal: Terminal) -> "list[tuple[TrialConfig, Choice]]":
    from harness.memory.plan import choose
    from models.config import EngineConfig

    configs = [trial.config for trial in grid.trials()]
    fixed = "engine" in {path.split(".")[0] for path in grid.paths}
    choices = []
    with terminal.stage("planning") as progress:
        for number, config in enumerate(configs, start=1):
            asked = config if fixed or config.engine != EngineConfig() else replace(config, engine=_auto())
            choices.append((config, choose(asked, budget, tracer)))
            progress(number, len(configs))
    return choices


def _auto() -> Any:
    from models.config import EngineConfig

    return EngineConfig(policy="auto")


def _show(
    grid: "Grid",
    choices: "list[tuple[TrialConfig, Choice]]",
    device: "Device",
    budget: int,
    terminal: Terminal,
    *,
    as_json: bool,
) -> None:
    from harness.memory.plan import engine_in_words
    from harness.memory.report import as_json as plain

    if as_json:
        plans = [
            {
                **(grid.describe(config) if grid.axes else {}),
                "fits": choice.fits,
                "policy": engine_in_words(choice.engine),
                "engine": asdict(choice.engine),
                **plain(choice.prediction, device),
            }
            for config, choice in choices
        ]
        print(json.dumps({"device": device.name, "budget_bytes": budget, "plans": plans}))
        return
    from rich.table import Table

    table = Table(title=f"Fastest policies within {format_bytes(budget)} on {device.name}", title_justify="left")
    for path in grid.paths or ("model.backbone",):
        table.add_column(path.rsplit(".", 1)[-1])
    for name in ("device", "host", "a step"):
        table.add_column(name, justify="right")
    table.add_column("policy")
    for config, choice in choices:
        values = grid.describe(config)
        named = [str(values[path]) for path in grid.paths] or [config.model.backbone.name]
        seconds = choice.prediction.seconds_on(device)
        fits = engine_in_words(choice.engine) if choice.fits else "does not fit: " + engine_in_words(choice.engine)
        need = (format_bytes(choice.prediction.peak_bytes), format_bytes(choice.prediction.host_bytes))
        table.add_row(*named, *need, format_seconds(seconds), fits)
    terminal.console.print(table)


def _show_frontier(reaches: "list[Reach]", terminal: Terminal, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(reach) for reach in reaches]))
        return
    from rich.table import Table

    backbones = list(dict.fromkeys(reach.backbone for reach in reaches))
    for placement in dict.fromkeys(reach.placement for reach in reaches):
        where = "inside the backbone (AdaTAD)" if placement == "inside" else "outside it (AdaTAD dagger)"
        table = Table(title=f"Most frames per window, one video per GPU, adapters {where}", title_justify="left")
        table.add_column("card")
        table.add_column("pixels", justify="right")
        for name in backbones:
            table.add_column(name.removeprefix("videomae-"), justify="right")
        cells = {(r.card, r.resolution, r.backbone): r for r in reaches if r.placement == placement}
        for card, side in dict.fromkeys((card, side) for card, side, _ in cells):
            row = [cells[card, side, name].frames for name in backbones]
            table.add_row(card, str(side), *("-" if frames is None else f"{frames:,}" for frames in row))
        terminal.console.print(table)
    terminal.say("by the same policy everywhere: what can be on the host is there, 8 clips at a time; tadscale plan")
    terminal.say("finds the fastest policy for one of these points")
