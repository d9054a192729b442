"""What a published table is, as a value: its rows with their settings, and the layout that the paper gave it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DATA, FRAMES, RESOLUTION = "data.name", "data.window.frames", "data.window.resolution"
BACKBONE, REPRESENTATION, TUNING = "model.backbone.name", "model.representation.kind", "model.tuning"
ADAPTER, PLACEMENT = "model.adapter", "model.adapter.placement"
KERNEL, SPATIAL_KERNEL = "model.adapter.kernel", "model.adapter.spatial_kernel"
HEAD = "model.head.kind"

SAME: Mapping[str, str] = {
    ADAPTER: "model.adapter.kind",
    BACKBONE: "model.backbone",
    HEAD: "model.head",
    REPRESENTATION: "model.representation",
}
"""Where a config, or a study's axes, have what a results table has under another name."""

Measure = Literal["map", "memory", "params"]
"""mAP in percent, peak memory in GiB, trained parameters of the backbone in millions."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a published table. A number that could not be found is None; none is guessed."""

    table: str
    at: Mapping[str, Any]
    """Config values that identify the row within its study; empty for other methods."""
    map_avg: float | None
    """Average mAP in percent."""
    memory_gib: float | None = None
    """Peak of one GPU with one video, as the paper's code reports it."""
    params_m: float | None = None
    """Parameters of the backbone's adapters in millions, as rounded in the paper."""
    map_at: Mapping[str, float] = field(default_factory=dict)
    """mAP in percent by threshold of temporal overlap."""
    method: str = ""
    """Another method's name, with its backbone; empty: the setting is one that this program can run."""
    out_of_memory: bool = False
    """The paper says that it does not fit on its 80 GB card."""
    note: str = ""
    """Where the number stands, if not in `table` itself, or what is uncertain about it."""

    def value(self, measure: Measure) -> float | None:
        """Return what the row says of a measure."""
        return {"map": self.map_avg, "memory": self.memory_gib, "params": self.params_m}[measure]


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of the paper, its numbers and how they are laid out."""

    number: str
    """`Table 5`; `zoo` for OpenTAD's released runs."""
    study: str
    """The study that asks the same."""
    title: str
    setting: Mapping[str, Any]
    """What all of its rows share: beside `at`, what a trial must have to be compared with them."""
    down: tuple[str, ...]
    """Config paths whose values make the rows."""
    across: str | None = None
    """Config path whose values make groups of columns; None: one group."""
    measures: tuple[Measure, ...] = ("map", "memory")
    """What stands in each group of columns."""
    rows: tuple[Published, ...]
    """The paper's own settings, in its order."""
    others: tuple[Published, ...] = ()
    """Other methods, as they were published."""
    absent: str = ""
    """Which numbers of the table could not be found, in words."""

    @property
    def heading(self) -> str:
        """Return the table's name for people."""
        return f"OpenTAD's zoo: {self.title}" if self.number == "zoo" else f"The paper's {self.number}: {self.title}"


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """Return a config value of a row, a flattened config or a study's axes, whatever each calls it; None if absent."""
    return values[path] if path in values else values.get(SAME.get(path, path))


def is_at(values: Mapping[str, Any], at: Mapping[str, Any]) -> bool:
    """Return whether values have all that `at` asks for."""
    return all(value_at(values, path) == wanted for path, wanted in at.items())
