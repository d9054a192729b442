"""`tadscale reproduce`: every study one after the other, unattended, and one report of all of them.

    for each study and data set: trials that another study ran already -> the study in a process of its own
    then: results/reproduction.md, with the paper's tables, its conclusions, and where each study's report is

Every study finds again what it has done, so the same command goes on where it was stopped.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.interrupts import call
from harness.cli.options import UserError, read_options
from harness.cli.reproduction import ERRORS_STUDY, adopt, analyse_errors, write_reproduction
from harness.cli.study import STOPPED_CODE

if TYPE_CHECKING:
    from harness.study import Study

DETAILS = """\
The options of the second group go to each study. With real data, --data-root holds a folder per data set (thumos14,
activitynet, epic_verb, epic_noun, ego4d); studies of those that are not there are left out and named. A failed study
does not stop the others.

examples:
  tadscale reproduce --preset tiny
  tadscale reproduce --preset paper --dry-run --device h100-80gb
  tadscale reproduce --preset paper --data-root DATA --weights WEIGHTS --only scale_frames compare_placement
"""
FLAGS = ("dry-run", "status", "fresh", "quiet")
VALUED = ("device", "memory-budget", "weights", "seeds", "workers", "slots", "max-concurrent", "address", "cache-size")
"""Options of a study that are handed on; each study checks their values."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One study on one data set."""

    study: "Study"
    preset: str
    on: str

    @property
    def name(self) -> str:
        """Return the part in words."""
        return f"{self.study.name} --preset {self.preset} --on {self.on}"


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "reproduce",
        help="run every study of the paper, unattended, and report on all of them",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run every study, resuming what was begun, and write one report.",
        epilog=DETAILS,
    )
    parser.add_argument("--preset", default="tiny", help="of each study; those that lack it are left out (tiny)")
    parser.add_argument("--only", nargs="+", default=[], metavar="STUDY", help="only these studies")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="results folder (results)")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder with one folder per data set")
    passed = parser.add_argument_group("options of each study")
    for name in FLAGS:
        passed.add_argument(f"--{name}", action="store_true")
    for name in VALUED:
        passed.add_argument(f"--{name}", metavar="VALUE")
    passed.add_argument("--set", action="append", default=[], metavar="PATH=V[,V...]")
    return parser


def run(given: argparse.Namespace) -> int:
    """Run all studies; return 0, or the largest code that one ended with."""
    studies: Sequence[Study] = import_module("studies.all").STUDIES
    names = [study.name for study in studies]
    for name in given.only:
        if name not in names:
            raise UserError(f"--only is {name}, expected some of {', '.join(names)}")
    chosen = [study for study in studies if not given.only or study.name in given.only]
    began, worst = time.monotonic(), 0
    parts = list(_parts(chosen, given))
    if not parts:
        asked = ", ".join(study.name for study in chosen)
        raise UserError(f"--preset is {given.preset}, expected one that {asked} has, with its data set there")
    for number, part in enumerate(parts, start=1):
        print(f"[{number} of {len(parts)}] {part.name}", file=sys.stderr, flush=True)
        code = _run_part(part, given)
        if code == STOPPED_CODE:
            return code
        worst = max(worst, code)
    if not _only_listed(given):
        print(write_reproduction([part.study for part in parts], given.results))
    minutes = (time.monotonic() - began) / 60
    print(f"{len(parts)} studies in {minutes:.0f} minutes, worst exit code {worst}", file=sys.stderr)
    return worst


def _parts(studies: Sequence["Study"], given: argparse.Namespace) -> Iterator[Part]:
    """Yield what is to be run: a study once for each data set that its tables are about, where that is there."""
    real = given.preset not in ("tiny", "quick")
    for study in studies:
        if given.preset not in study.presets:
            print(f"{study.name} has no preset {given.preset} and is left out", file=sys.stderr)
            continue
        for preset, on in _data_sets(study, given.preset) if real else [(given.preset, "synthetic")]:
            if real and not _only_listed(given) and not _videos(given, on).is_dir():
                print(f"{study.name} on {on} is left out: there is no {_videos(given, on)}", file=sys.stderr)
            else:
                yield Part(study=study, preset=preset, on=on)


def _data_sets(study: "Study", preset: str) -> list[tuple[str, str]]:
    """Return preset and data set of every run of a study: its own, those of its tables, and presets named for one."""
    from harness.analysis.paper import DATA, tables_of

    own = study.presets[preset].base.data.name
    others = [name for name in dict.fromkeys(table.setting[DATA] for table in tables_of(study.name)) if name != own]
    return [(preset, own), *((name if name in study.presets else preset, name) for name in others)]


def _videos(given: argparse.Namespace, on: str) -> Path:
    if given.data_root is None:
        raise UserError(f"--preset {given.preset} needs --data-root DIR with a folder per data set, or --dry-run")
    return given.data_root / on


def _run_part(part: Part, given: argparse.Namespace) -> int:
    """Run a study in a process of its own: Ray and what it leaves behind end with it."""
    options = ["--preset", part.preset, "--results", str(given.results), *_passed_on(given)]
    if part.on != "synthetic":
        options += ["--on", part.on]
        if given.data_root is not None:
            options += ["--data-root", str(given.data_root / part.on)]
    if not _only_listed(given) and not given.fresh:
        adopted = adopt(part.study, read_options(part.study, options))
        if adopted:
            print(f"{adopted} trials were run by other studies already", file=sys.stderr)
    code = call([sys.executable, "-m", f"studies.{part.study.name}", *options])
    if part.study.name == ERRORS_STUDY and code == 0 and not _only_listed(given):
        analyse_errors(given.results / part.study.name)
    return code


def _passed_on(given: argparse.Namespace) -> list[str]:
    values = vars(given)
    options = [f"--{name}" for name in FLAGS if values[name.replace("-", "_")]]
    for name in VALUED:
        value = values[name.replace("-", "_")]
        options += [] if value is None else [f"--{name}", value]
    for change in given.set:
        options += ["--set", change]
    return options


def _only_listed(given: argparse.Namespace) -> bool:
    """Return whether trials are only listed and nothing runs."""
    return given.dry_run or given.status
