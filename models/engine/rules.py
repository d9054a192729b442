"""Which policies make sense for which detector; torch-free, so that a study is checked when it is written."""

from dataclasses import fields

from models.config import AdapterConfig, DetectorConfig, EngineConfig, SlowFastConfig, VideoMAEConfig

CUT = ("every", "clips", "positions", "residual")
"""What only a backbone can follow whose clips do not see each other."""


def check_engine(engine: EngineConfig, model: DetectorConfig, precision: str) -> None:
    """Refuse what a detector cannot follow, and what it would ignore.

    Raises:
        ValueError: one sentence that names the setting.
    """
    if engine.policy != "fixed":
        return
    if model.tuning == "features":
        ours = {item.name for item in fields(engine)} - {"keep", "averages_on", "optimizer_on", "checkpoint_head"}
        _defaults(engine, *ours, why="is for a backbone, and model.tuning is features")
        return
    if not isinstance(model.backbone, VideoMAEConfig):
        _check_native_time(engine, model)
    _check_kept(engine, model)
    _check_parts(engine, model.adapter)
    _check_formats(engine, model, precision)
    if engine.checkpoint_head and model.head.kind == "gtad":
        raise ValueError("engine.checkpoint_head is true but model.head.kind is gtad, which has no such blocks")


def _check_native_time(engine: EngineConfig, model: DetectorConfig) -> None:
    name = model.backbone.name
    if engine.keep == "nothing":
        raise ValueError(f"engine.keep is nothing, but {name} mixes time in its blocks and cannot be streamed")
    _defaults(engine, *CUT, "compile", why=f"is for clips that do not see each other, unlike those of {name}")
    if engine.weights != "fp32" and isinstance(model.backbone, SlowFastConfig):
        raise ValueError(
            f"engine.weights is {engine.weights}, but {name} folds its normalisations into its kernels; expected fp32"
        )


def _check_kept(engine: EngineConfig, model: DetectorConfig) -> None:
    adapter = model.adapter
    inside = model.tuning == "full" or (adapter is not None and adapter.placement == "inside")
    if engine.keep == "nothing":
        if inside:
            raise ValueError(
                f"engine.keep is nothing, but gradients pass through {model.backbone.name} (model.tuning is "
                f"{model.tuning}); expected blocks or everything"
            )
        if adapter is not None and (adapter.kind == "longlora" or adapter.spatial_kernel > 1):
            raise ValueError(
                "engine.keep is nothing, but an adapter with "
                + ("attention" if adapter.kind == "longlora" else f"spatial_kernel {adapter.spatial_kernel}")
                + " needs whole maps; expected blocks or everything"
            )
    if not inside:
        _defaults(engine, "every", why="is for gradients through the backbone")
    if model.tuning == "frozen":
        _defaults(engine, "keep_on", why="is for gradients, and none reaches the backbone")


def _check_parts(engine: EngineConfig, adapter: AdapterConfig | None) -> None:
    if engine.keep == "everything":
        _defaults(engine, "clips", "positions", "residual", why="is of no effect while engine.keep is everything")
    if adapter is None or adapter.placement == "outside":
        _defaults(engine, "positions", why="is for adapters inside the backbone")
    elif adapter.spatial_kernel > 1:
        _defaults(engine, "positions", why=f"is impossible with model.adapter.spatial_kernel {adapter.spatial_kernel}")


def _check_formats(engine: EngineConfig, model: DetectorConfig, precision: str) -> None:
    if model.tuning == "full":
        _defaults(engine, "weights", "residual", why="is for a backbone that is not trained")
    for name in ("weights", "residual"):
        if getattr(engine, name) == "bf16" and precision != "bf16":
            raise ValueError(f"engine.{name} is bf16 but training.precision is {precision}, expected bf16")


def _defaults(engine: EngineConfig, *names: str, why: str) -> None:
    for item in fields(engine):
        value = getattr(engine, item.name)
        if item.name in names and value != item.default:
            raise ValueError(f"engine.{item.name} is {value}, but it {why}; expected {item.default}")
