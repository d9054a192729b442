"""`tadscale frontier`: the largest backbone, frames and resolution that train on each card, here and in the paper."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError
from harness.cli.terminal import Terminal

if TYPE_CHECKING:
    from harness.analysis.paper.frontier import Input
    from harness.config import TrialConfig
    from harness.memory.devices import Device

CARDS = ("rtx4060-8gb", "rtx3060-12gb", "rtx4090-24gb", "a100-40gb", "h100-80gb")
DETAILS = """\
This is for the comparison with the paper: a fixed list of backbones and inputs, the largest that fits as the paper
executes it and as this engine does. For how long a window your own card takes, whatever the paper did, there is
`tadscale plan --what-fits`: every length, inside and outside the backbone, by one lean policy, in fewer predictions.

Which backbones and inputs are asked about is in studies/memory_frontier.py. Each is predicted twice by tracing the real
training step on tensors without contents: as the paper executes it, and with the leanest policy of this engine. Both
are remembered, so a second call is quick; the first took 17 minutes on one core.

examples:
  tadscale frontier --preset tiny --cards rtx4060-8gb
  tadscale frontier --preset paper --export tables
"""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "frontier",
        help="say what trains on which card, here and in the paper's set-up",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Find the largest input of every backbone on every card.",
        epilog=DETAILS,
    )
    parser.add_argument("--preset", default="paper", choices=("tiny", "paper"), help="of memory_frontier (paper)")
    parser.add_argument("--cards", nargs="+", default=list(CARDS), metavar="NAME", help=f"default: {', '.join(CARDS)}")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the table there as Markdown and LaTeX")
    return parser


def run(given: argparse.Namespace) -> int:
    """Print the table; write it where asked."""
    from harness.analysis.export import to_markdown, write_tables
    from harness.analysis.paper.frontier import frontier_table

    cards = _cards(given.cards)
    grid = import_module("studies.memory_frontier").STUDY.presets[given.preset]
    configs = [trial.config for trial in grid.trials()]
    with Terminal(json=False).stage("predicting memory") as progress:
        inputs = []
        for number, each in enumerate(_inputs(configs, next(iter(cards.values()))), start=1):
            inputs.append(each)
            if progress:
                progress(number, len(configs))
    table = frontier_table(inputs, {name: card.usable_bytes for name, card in cards.items()})
    print(to_markdown(table))
    for path in write_tables([table], given.export) if given.export else ():
        print(path)
    return 0


def _cards(names: list[str]) -> "Mapping[str, Device]":
    from harness.memory.devices import KNOWN, find_device

    for name in names:
        if name not in KNOWN:
            raise UserError(f"--cards is {name}, expected some of {', '.join(KNOWN)}")
    return {name: find_device(name) for name in names}


def _inputs(configs: "list[TrialConfig]", device: "Device") -> "Iterator[Input]":
    """Yield what is predicted for each config; the rules are those of CUDA, whichever card."""
    from harness.analysis.paper.frontier import Input
    from harness.cli.plan import cache_dir
    from harness.memory.ladder import ladder
    from harness.memory.plan import needed_bytes
    from harness.memory.predict import Tracer
    from harness.memory.reference import with_reference

    with Tracer(cache_dir() / "predictions", device=device) as tracer:
        for config in configs:
            reference = with_reference(config)
            lean = replace(
                config,
                engine=ladder(config)[-1],
                training=replace(config.training, batch_size=1),
            )
            leanest = tracer.ask(lean)
            yield Input(
                backbone=config.model.backbone.name,
                frames=config.data.window.frames,
                resolution=config.data.window.resolution,
                paper_bytes=needed_bytes(tracer.ask(reference), reference.engine),
                lean_bytes=needed_bytes(leanest, lean.engine),
                lean_host_bytes=leanest.host_bytes,
            )
