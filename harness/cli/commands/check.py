"""`tadscale check`: whether a file of weights or a data set's folder can be used, before hours are spent on it."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError

if TYPE_CHECKING:
    from models.checkpoints import DetectorFound, Identified
    from models.config import AdapterConfig

DONE_CODE = 0
FACTS = ("epoch",)
"""Numbers beside the tensors that are worth a line."""


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="say what a file of weights or a folder of videos is and whether it can be used",
        description="With --weights: what a file of weights is, which backbone or detector it fits, what it lacks and "
        "which of its tensors are left out and why. Files are read as data; one that could run code is refused. With "
        "--on: what annotations and videos a data set's folder has, which videos are missing or cannot be read, what "
        "is wrong with the annotations, and which of it matters. Exit code 0: it can be used; 1: it can, but something "
        "matters; 2: it cannot.",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a published or own checkpoint, or a folder in the layout of Hugging Face",
    )
    parser.add_argument("--backbone", metavar="NAME", help="whether it fits this backbone (default: any)")
    parser.add_argument("--on", metavar="NAME", help="data set to check: thumos14, activitynet, epic_verb, custom, ...")
    parser.add_argument(
        "--data-root", type=Path, metavar="DIR", help="folder with annotations and, if you have them, videos"
    )
    parser.add_argument(
        "--annotations", type=Path, metavar="PATH", help="annotations to check instead of those in --data-root"
    )
    parser.add_argument("--every-class", action="store_true", help="count every class, however many there are")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.add_argument("--json", action="store_true", help="the same for programs, on standard output")
    return parser


def run(given: argparse.Namespace) -> int:
    """Check the file or folder; what cannot be used ends in a `UserError`."""
    if given.on is not None:
        return _check_data(given)
    if given.weights is None:
        raise UserError("check needs --weights FILE, or --on NAME with --data-root DIR; expected one of them")
    return _check_weights(given.weights, given.backbone, as_json=given.json)


def _check_data(given: argparse.Namespace) -> int:
    from harness.cli.data_check import check_data

    if given.weights is not None:
        raise UserError("--weights and --on are two checks, expected one of them at a time")
    if given.data_root is None and given.annotations is None:
        raise UserError(f"check --on {given.on} needs --data-root DIR or --annotations PATH")
    return check_data(
        given.on,
        given.data_root,
        given.annotations,
        every_class=given.every_class,
        as_json=given.json,
        quiet=given.quiet,
    )


def _check_weights(path: Path, backbone: str | None, *, as_json: bool) -> int:
    from models.checkpoints import identify

    found = identify(path, backbone=backbone)
    if as_json:
        import json

        print(json.dumps({"weights": str(path), "usable": not found.problem, **asdict(found)}, indent=1))
    else:
        _show(path, found)
    if found.problem:
        what = found.layout or "an unknown layout"
        raise UserError(f"{path} ({what}) cannot be used: {found.problem}")
    return DONE_CODE


def _show(path: Path, found: "Identified") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3))
    for name, value in _rows(found):
        table.add_row(Text(name, style="dim"), Text(value))
    console = Console(highlight=False)
    console.print(Text(str(path), style="bold"))
    console.print(table)


def _rows(found: "Identified") -> list[tuple[str, str]]:
    rows = [("what", found.layout or "of no layout that is known"), ("holds", _content(found))]
    if found.detector is not None:
        rows += _detector_rows(found.detector)
    elif found.layout:
        rows.append(("fits", ", ".join(found.backbones) or f"no backbone; {found.nearest} is the nearest"))
    rows += [("left out", f"{_names(keys)}: {reason}") for reason, keys in found.ignored.items()]
    if found.note:
        rows.append(("note", found.note))
    return rows


def _content(found: "Identified") -> str:
    place = f", in {found.container}" if found.container else ""
    average = " (moving average)" if found.averaged else ""
    facts = "".join(f", {name} {found.facts[name]}" for name in FACTS if name in found.facts)
    kinds = " and ".join(found.dtypes)
    return f"{found.num_tensors} tensors, {found.num_values:,} values, {kinds}{place}{average}{facts}"


def _detector_rows(found: "DetectorFound") -> list[tuple[str, str]]:
    config = found.config
    trained = " or ".join(found.tunings)
    setting = f", the published setting of {found.setting}" if found.setting else ", of no published setting"
    return [
        ("backbone", " or ".join(found.backbones)),
        ("tuning", trained),
        ("adapters", _adapter(config.adapter)),
        (
            "head",
            f"{config.head.kind}, {found.num_classes} {'class' if found.num_classes == 1 else 'classes'}{setting}",
        ),
    ]


def _adapter(adapter: "AdapterConfig | None") -> str:
    if adapter is None:
        return "none"
    where = "beside the backbone (dagger)" if adapter.placement == "outside" else "inside the backbone"
    layers = f"blocks {', '.join(map(str, adapter.layers))}" if adapter.layers else ""
    last = f"the last {adapter.last_layers} blocks" if adapter.last_layers else ""
    default = "the last half" if adapter.placement == "outside" else "every block"
    size = "" if adapter.kind == "longlora" else f", ratio {adapter.ratio:.4g}"
    kernel = f", kernel {adapter.kernel}" if adapter.kind.startswith("tia") else ""
    return f"{adapter.kind} {where}, {layers or last or default}{size}{kernel}"


def _names(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:2]) + (f" and {len(keys) - 2} more" if len(keys) > 2 else "")
