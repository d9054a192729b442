"""Every knob of a trial on one page, and the conversions between a config, its paths and its digest.

A config is a tree of frozen dataclasses. `flatten` turns it into `{"data.window.frames": 768, ...}`; that path
is at once the name in a study's axes, the column in the results table and the argument of `--set`. The digest
of the flattened config identifies a trial: names are for people and are never parsed.
"""

import hashlib
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar, get_args, get_origin

from models.config import (
    BACKBONES,
    ActionFormerConfig,
    AdapterConfig,
    BackboneConfig,
    DetectorConfig,
    EngineConfig,
    GTADConfig,
    RepresentationConfig,
    TriDetConfig,
)
from models.engine.rules import check_engine

Scalar = str | int | float | bool | None
"""A leaf of a config, or a tuple of them."""
T = TypeVar("T")

DatasetName = Literal[
    "synthetic",
    "custom",
    "thumos14",
    "activitynet",
    "epic_verb",
    "epic_noun",
    "ego4d",
    "multithumos",
    "charades",
]
Precision = Literal["fp32", "bf16", "fp16"]
NmsMethod = Literal["gaussian", "linear", "hard"]
ReduceIn = Literal["torch", "decoder"]
"""Who reduces decoded frames to the size that is read."""
NUM_OPERATORS = 15
"""RandAugment has this many (harness/data/augment_operators.py)."""
FrameFormat = Literal["raw", "jpeg"]
"""What frames are kept as between decoding and augmentation."""
Classifier = Literal["none", "cuhk", "standard", "untrimmednet", "tcanet"]


@dataclass(frozen=True, kw_only=True)
class WindowConfig:
    """How a stretch of a long video becomes one network input."""

    frames: int = 768
    """Frames the backbone sees per window; a multiple of the backbone's 16-frame clip."""
    mode: Literal["sliding", "resize"] = "sliding"
    """`sliding`: a window covers `span` decoded frames, training draws one at random, tests slide it over the video.
    `resize`: a window is the whole video, whatever its length (ActivityNet): `frames` frames spread evenly over it,
    frame i being round(clip((i + 1/2) * total / frames - 1/2, 0, total - 1)), and feature cell k covering
    k / features ... (k + 1) / features of its duration; nothing is padded, masked, cut or merged."""
    span: int = 3072
    """Decoded frames that one window covers. More `frames` sample the same stretch more densely. 0 with `resize`."""
    features: int = 768
    """Feature cells the head sees per window; backbone features are resized to this length."""
    resolution: int = 160
    """Height and width of the network input, pixels."""

    def __post_init__(self) -> None:
        """Refuse windows that cannot be sampled evenly."""
        for name in ("frames", "features", "resolution", *(("span",) if self.mode == "sliding" else ())):
            if getattr(self, name) < 1:
                raise ValueError(f"data.window.{name} is {getattr(self, name)}, expected at least 1")
        if self.mode == "resize":
            if self.span:
                raise ValueError(
                    f"data.window.span is {self.span}, but data.window.mode is resize and a window the whole video; "
                    "expected a span of 0"
                )
            return
        if self.span % self.frames:
            raise ValueError(f"data.window.span {self.span} is not a multiple of data.window.frames {self.frames}")
        if self.span % self.features:
            raise ValueError(f"data.window.span {self.span} is not a multiple of data.window.features {self.features}")

    @property
    def stride(self) -> int:
        """Decoded frames from one sampled frame to the next."""
        assert self.mode == "sliding", "how far frames are apart depends on the video's length"
        return self.span // self.frames

    @property
    def cell(self) -> int:
        """Decoded frames per feature cell (OpenTAD's snippet stride)."""
        assert self.mode == "sliding", "how long a cell is depends on the video's length"
        return self.span // self.features


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What training does to a window's pixels; one draw for all of its frames (adatad-facts 6.4)."""

    crop_area: tuple[float, float] = (0.08, 1.0)
    """Area of the random crop over the area of the frame."""
    crop_aspect: tuple[float, float] = (0.75, 1.3333333333333333)
    flip: float = 0.5
    """Probability of a horizontal flip. 0 where left and right are classes."""
    jitter: float = 0.5
    """Brightness, contrast and saturation factors are drawn from 1 - jitter .. 1 + jitter."""
    hue: float = 0.1
    """Hue shift as a share of the colour circle, drawn from -hue .. hue."""
    operators: int = 0
    """How many of RandAugment's 15 operators a window goes through (shears, turns, posterize, cutout ...; ImgAug's
    default is 2). Applied before the jitter."""

    def __post_init__(self) -> None:
        """Refuse draws that nothing can come of."""
        for name, top in (("crop_area", 1.0), ("crop_aspect", float("inf"))):
            ends = getattr(self, name)
            if len(ends) != 2 or not 0 < ends[0] <= ends[1] <= top:
                raise ValueError(f"data.augment.{name} is {ends}, expected two numbers, 0 < low <= high <= {top:g}")
        for name, top in (("flip", 1.0), ("jitter", float("inf")), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= top:
                raise ValueError(f"data.augment.{name} is {getattr(self, name)}, expected 0 to {top:g}")
        if not 0 <= self.operators <= NUM_OPERATORS:
            raise ValueError(f"data.augment.operators is {self.operators}, expected 0 to {NUM_OPERATORS}")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which videos, and how windows are cut from them (adatad-facts 6)."""

    name: DatasetName = "thumos14"
    num_classes: int = 20
    fingerprint: str = ""
    """Identity of the data (annotations and video files); filled when the data is opened."""
    train_subset: str = "training"
    test_subset: str = "validation"
    blocked: tuple[str, ...] = ()
    """Ids of annotated videos that no subset has: known to be wrong, or without an action that counts."""
    window: WindowConfig = WindowConfig()
    min_kept: float = 0.75
    """Training truncation keeps an action when at least this share of it is inside the window."""
    shortest_share: float = 0.0
    """Training leaves out an action that is at most this share of its video (ActivityNet 0.01; 0: every action stays).
    """
    min_crop: float = 0.9
    """A training video shorter than a window is cut to a random length of at least this share."""
    test_overlap: float = 0.5
    """Share of a test window that the next one covers again."""
    augment: AugmentConfig = AugmentConfig()
    reduce_in: ReduceIn = "torch"
    """Frames larger than needed are reduced after decoding (`torch`, antialiased bilinear: exact), or by libav's scaler
    before they become RGB (`decoder`): 2 to 3 times as many frames per second, pixels off by 1 of 255 on average."""
    frame_format: FrameFormat = "raw"
    """What frames pass through between decoding and augmentation, whether they are cached (`--cache-size`) or not.
    `raw` changes nothing. `jpeg` (quality 95) lets a cache hold 8 times as many; pixels off by 1 to 3 of 255."""
    max_unreadable: float = 0.5
    """More than this share of unreadable videos in a subset is an error, not a quarantine."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimiser, schedule and precision (adatad-facts 7)."""

    epochs: int = 60
    """Epochs that are run."""
    cosine_epochs: int = 100
    """Epochs after which the cosine would reach zero; more than `epochs` stops early, as the paper does."""
    warmup_epochs: int = 5
    repeat: int = 1
    """Windows drawn from each training video per epoch."""
    batch_size: int = 2
    """Videos per optimiser step over all workers."""
    head_lr: float = 1e-4
    adapter_lr: float = 2e-4
    backbone_lr: float = 1e-5
    """Used by `tuning=full` only."""
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    precision: Precision = "bf16"

    def __post_init__(self) -> None:
        """Refuse schedules that cannot run."""
        for name in ("epochs", "batch_size", "repeat", "cosine_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name} is {getattr(self, name)}, expected at least 1")
        if self.cosine_epochs < self.epochs:
            raise ValueError(
                f"training.cosine_epochs is {self.cosine_epochs}, expected at least training.epochs ({self.epochs})"
            )
        if self.warmup_epochs >= self.cosine_epochs:
            raise ValueError(
                f"training.warmup_epochs is {self.warmup_epochs}, "
                f"expected fewer than training.cosine_epochs ({self.cosine_epochs})"
            )


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """From head outputs to a video's detections (adatad-facts 8)."""

    min_score: float = 0.001
    """Points below this probability are dropped before NMS."""
    pre_nms: int = 2000
    """Highest-scoring detections kept per window before NMS."""
    nms: NmsMethod = "gaussian"
    nms_sigma: float = 0.7
    """Soft-NMS decay exp(-IoU^2 / sigma)."""
    nms_iou: float = 0.5
    """Overlap from which `linear` and `hard` NMS act."""
    nms_min_score: float = 0.0
    """Detections whose decayed score falls below this are dropped."""
    max_detections: int = 2000
    """Detections kept per video."""
    class_agnostic: bool = False
    """Segments suppress each other whatever their class."""
    voting_iou: float | None = None
    """A kept segment becomes the mean, weighted by score, of all candidates that overlap it at least so much; goes with
    `class_agnostic` only."""
    external: Classifier = "none"
    """Whose file of class scores names the segments (`--class-scores`), and so how the two scores are joined; the head
    then tells actions from background only. `none`: the head names them itself."""
    external_top: int = 2
    """Classes that every segment of a video is given, best first."""
    external_softmax: bool = False
    """The class scores are logits; goes with `standard` only."""
    external_fingerprint: str = ""
    """Identity of the file of class scores; filled when it is opened."""

    def __post_init__(self) -> None:
        """Refuse settings that would be ignored."""
        if self.voting_iou is not None:
            if not self.class_agnostic:
                raise ValueError(
                    f"detection.voting_iou is {self.voting_iou}, which goes with detection.class_agnostic only; "
                    "expected none without it"
                )
            if not 0 < self.voting_iou <= 1:
                raise ValueError(f"detection.voting_iou is {self.voting_iou}, expected more than 0 and at most 1")
        if self.external_top < 1:
            raise ValueError(f"detection.external_top is {self.external_top}, expected at least 1")
        if self.external_softmax and self.external != "standard":
            raise ValueError(
                f"detection.external_softmax is true, which goes with detection.external=standard only, and that is "
                f"{self.external}"
            )
        if self.external_fingerprint and self.external == "none":
            raise ValueError("detection.external is none, but there are class scores; expected the classifier's kind")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What mAP means (adatad-facts 9)."""

    tious: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One trial: everything that decides its result, and nothing else (not where files lie, not the device)."""

    data: DataConfig = DataConfig()
    model: DetectorConfig
    engine: EngineConfig = field(default_factory=EngineConfig)
    training: TrainingConfig = TrainingConfig()
    detection: DetectionConfig = DetectionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse inputs that the networks cannot take, and policies that a detector cannot follow."""
        window, model = self.data.window, self.model
        check_engine(self.engine, model, self.training.precision)
        backbone, representation = model.backbone, model.representation
        if model.tuning != "features":
            snippets = representation.kind == "snippet"
            path = "model.representation.snippet_frames" if snippets else "data.window.frames"
            frames = representation.snippet_frames if snippets else window.frames
            if frames % backbone.frame_multiple:
                raise ValueError(
                    f"{path} is {frames}, expected a multiple of {backbone.frame_multiple} for {backbone.name}"
                )
            if snippets and window.frames % representation.snippet_stride:
                raise ValueError(
                    f"data.window.frames is {window.frames}, expected a multiple of "
                    f"model.representation.snippet_stride ({representation.snippet_stride})"
                )
            if window.resolution < backbone.smallest_side:
                raise ValueError(
                    f"data.window.resolution is {window.resolution}, expected at least {backbone.smallest_side} pixels "
                    f"for {backbone.name}"
                )
        if isinstance(model.head, GTADConfig):
            if model.head.longest > window.features:
                raise ValueError(
                    f"model.head.longest is {model.head.longest}, expected at most data.window.features "
                    f"({window.features})"
                )
            if model.head.class_agnostic and self.head_classes > 1:
                raise ValueError(
                    f"model.head.class_agnostic is true, but the data has {self.data.num_classes} classes and there is "
                    "no external classifier to name them; expected false, or a detection.external"
                )

    @property
    def head_classes(self) -> int:
        """Classes that the head tells apart: one, action, where an external classifier names them."""
        return self.data.num_classes if self.detection.external == "none" else 1


NAMED: dict[str, dict[str, Any]] = {
    "model.backbone": dict(BACKBONES),
    "model.adapter": {
        "none": None,
        "tia": AdapterConfig(kind="tia"),
        "tia_no_residual": AdapterConfig(kind="tia_no_residual"),
        "plain": AdapterConfig(kind="plain"),
        "longlora": AdapterConfig(kind="longlora"),
    },
    "model.head": {"actionformer": ActionFormerConfig(), "tridet": TriDetConfig(), "gtad": GTADConfig()},
    "model.representation": {
        "frame": RepresentationConfig(),
        "snippet": RepresentationConfig(kind="snippet"),
    },
}
"""Whole branches of a config that the command line can set by a name."""


def flatten(config: object, prefix: str = "") -> dict[str, Any]:
    """Return `{path: leaf}` in declaration order; an absent branch (None) is a leaf of its own."""
    flat: dict[str, Any] = {}
    for item in fields(config):  # type: ignore[arg-type]
        path = f"{prefix}{item.name}"
        value = getattr(config, item.name)
        if is_dataclass(value):
            flat.update(flatten(value, f"{path}."))
        else:
            # 1 and 1.0 in a float field are the same trial; tables give back the latter.
            flat[path] = float(value) if item.type is float else value
    return flat


def unflatten(flat: Mapping[str, Any], kind: type[T] = TrialConfig) -> T:  # type: ignore[assignment]
    """Rebuild a config from `flatten`'s result (lists, as JSON gives them, become tuples)."""
    values: dict[str, Any] = {}
    hints = typing.get_type_hints(kind)
    for item in fields(kind):  # type: ignore[arg-type]
        below = {path[len(item.name) + 1 :]: v for path, v in flat.items() if path.startswith(f"{item.name}.")}
        if item.name in flat:
            value = flat[item.name]
            values[item.name] = tuple(value) if isinstance(value, list) else value
        elif below:
            values[item.name] = unflatten(below, _branch_type(hints[item.name], below.get("kind")))
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"config lacks {item.name}")
    unknown = {path.split(".")[0] for path in flat} - {item.name for item in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"unknown config path {sorted(unknown)[0]} in {kind.__name__}")
    return kind(**values)


_ABSENT = object()
ADDED: dict[str, Any] = {
    "data.window.mode": "sliding",
    "data.blocked": (),
    "data.shortest_share": 0.0,
    "data.augment.operators": 0,
    "data.reduce_in": "torch",
    "data.frame_format": "raw",
    "model.representation.kind": "frame",
    "model.representation.snippet_frames": 16,
    "model.representation.snippet_stride": 4,
    "model.adapter.spatial_kernel": 1,
    "model.adapter.attention_groups": 4,
    "model.adapter.layers": (),
    "model.head.full_attention_levels": 0,
    "model.head.overlapping_ranges": False,
    "model.head.share_similar": True,
    "model.head.masking": "opentad",
    "model.head.offset_bias": 0.0,
    "detection.class_agnostic": False,
    "detection.voting_iou": None,
    "detection.external": "none",
    "detection.external_top": 2,
    "detection.external_softmax": False,
    "detection.external_fingerprint": "",
    "engine.policy": "fixed",
    "engine.every": 1,
    "engine.keep_on": "device",
    "engine.clips": 0,
    "engine.positions": 0,
    "engine.weights": "fp32",
    "engine.residual": "fp32",
    "engine.inputs_on": "device",
    "engine.averages_on": "device",
    "engine.optimizer_on": "device",
    "engine.checkpoint_head": False,
    "engine.compile": False,
}
"""Fields that came after the first stored results, each with the value that means what every trial before it did. A
trial with that value keeps the digest it would have without the field, so that old results stay reachable."""


def digest(config: TrialConfig) -> str:
    """Return 16 hex digits that identify a trial: its flattened config, seed included."""
    return digest_of({path: value for path, value in flatten(config).items() if ADDED.get(path, _ABSENT) != value})


def digest_of(value: object) -> str:
    """Return 16 hex digits of the canonical JSON of a value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_value(config: T, path: str, value: Any) -> T:
    """Return a copy with the value (a leaf or a whole branch) at `path`; ValueError names an unknown path."""
    return with_values(config, {path: value})


def with_values(config: T, values: Mapping[str, Any], prefix: str = "") -> T:
    """Return a copy with several paths changed at once, so that values that only fit together can change together."""
    names = {item.name for item in fields(config)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if head not in names:
            raise ValueError(
                f"unknown config path {prefix}{path}; {prefix or 'the config '}has {', '.join(sorted(names))}"
            )
        if rest:
            below.setdefault(head, {})[rest] = value
        else:
            changes[head] = value
    for name, inner in below.items():
        branch = changes.get(name, getattr(config, name))
        if not is_dataclass(branch):
            held = "none" if branch is None else branch
            raise ValueError(f"{prefix}{name} is {held}, so {prefix}{name}.{next(iter(inner))} cannot be set")
        changes[name] = with_values(branch, inner, f"{prefix}{name}.")
    for name, value in changes.items():
        _check_type(config, name, value, prefix)
    return replace(config, **changes)  # type: ignore[type-var]


def parse_value(config: TrialConfig, path: str, text: str) -> Any:
    """Read a value from the command line by the type of the field at `path`.

    A branch takes one of its names (`model.backbone=videomae-b`, `model.adapter=none`); a tuple takes values
    joined by `+` (`evaluation.tious=0.3+0.5`).

    Raises:
        ValueError: the path does not exist, or the text is not of the field's type.
    """
    if path in NAMED:
        if text not in NAMED[path]:
            raise ValueError(f"{path} is {text}, expected one of {', '.join(NAMED[path])}")
        return _keep_shared(_at(config, path), NAMED[path][text])
    *parents, leaf = path.split(".")
    owner: Any = config
    for depth, name in enumerate(parents):
        if not is_dataclass(owner) or name not in {item.name for item in fields(owner)}:
            raise ValueError(f"unknown config path {path}: there is no {'.'.join(parents[: depth + 1])}")
        owner = getattr(owner, name)
    if owner is None:
        raise ValueError(f"{'.'.join(parents)} is none, so {path} cannot be set")
    if not is_dataclass(owner) or leaf not in {item.name for item in fields(owner)}:
        siblings = ", ".join(item.name for item in fields(owner)) if is_dataclass(owner) else "no fields"
        raise ValueError(f"unknown config path {path}; {'.'.join(parents) or 'the config'} has {siblings}")
    return _parse(typing.get_type_hints(type(owner))[leaf], path, text)


def _at(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


def _keep_shared(before: Any, named: Any) -> Any:
    """Return the named branch with the values of the one before it where both have the field, all but the kind.

    So trials that differ in the kind of head or adapter differ in nothing else, as far as the kinds go. A backbone is
    what its name says, whatever stood there.
    """
    if before is None or named is None or isinstance(named, get_args(BackboneConfig)):
        return named
    if type(before) is type(named):
        return replace(before, kind=named.kind)
    shared = {item.name for item in fields(before)} & {item.name for item in fields(named)} - {"kind"}
    return replace(named, **{name: getattr(before, name) for name in shared})


def _parse(hint: Any, path: str, text: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        if text in args:
            return text
        raise ValueError(f"{path} is {text}, expected one of {', '.join(map(str, args))}")
    if origin in (types.UnionType, typing.Union):
        if text.lower() == "none" and type(None) in args:
            return None
        return _parse(next(arg for arg in args if arg is not type(None)), path, text)
    if origin is tuple:
        return tuple(_parse(args[0], path, part) for part in text.split("+"))
    if hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"{path} is {text}, expected true or false")
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            kind = "a whole number" if hint is int else "a number"
            raise ValueError(f"{path} is {text}, expected {kind}") from None
    if hint is str:
        return text
    raise ValueError(f"{path} is a group of settings; set one of its fields instead")


def _check_type(config: object, name: str, value: Any, prefix: str) -> None:
    hint = typing.get_type_hints(type(config))[name]
    allowed = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if not any(_matches(value, kind) for kind in allowed):
        raise ValueError(f"{prefix}{name} is {value!r}, expected {_describe(hint)}")


def _matches(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _describe(hint: Any) -> str:
    if get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_describe(arg) for arg in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    return getattr(hint, "__name__", str(hint))


def _branch_type(hint: Any, kind: Any) -> Any:
    """Return the dataclass of a branch, of several the one whose `kind` stands there."""
    if get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    branches = [arg for arg in get_args(hint) if is_dataclass(arg)]
    if len(branches) == 1:
        return branches[0]
    for branch in branches:
        if kind in get_args(typing.get_type_hints(branch)["kind"]):
            return branch
    raise ValueError(f"kind is {kind}, expected one of {', '.join(_kind(branch) for branch in branches)}")


def _kind(branch: Any) -> str:
    return get_args(typing.get_type_hints(branch)["kind"])[0]
