"""Laws of the planner, and of the ladder that it walks down."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import presets
from harness.config import TrialConfig, with_values
from harness.data.datasets import dataset_of
from harness.memory.formula import adapter_parameters, backbone_parameters, estimate_bytes
from harness.memory.ladder import ladder, leaner
from harness.memory.plan import choose, engine_in_words, resolve
from harness.memory.predict import Prediction
from models.config import VIDEOMAE, AdapterConfig, EngineConfig

THUMOS = presets.paper(dataset_of("thumos14"))
AUTO = EngineConfig(policy="auto")
KINDS: Mapping[str, TrialConfig] = {
    "inside": THUMOS,
    "outside": with_values(THUMOS, {"model.adapter.placement": "outside"}),
    "frozen": with_values(THUMOS, {"model.tuning": "frozen", "model.adapter": None}),
    "full": with_values(THUMOS, {"model.tuning": "full", "model.adapter": None}),
    "features": with_values(THUMOS, {"model.tuning": "features", "model.adapter": None}),
    "giant": with_values(THUMOS, {"model.backbone": VIDEOMAE["videomae-g"]}),
}


class Known:
    """Stands for a tracer: the formula's answer, or one given for each policy."""

    def __init__(self, needs: Mapping[EngineConfig, int] | None = None) -> None:
        self._needs = needs

    def ask(self, config: TrialConfig) -> Prediction:
        need = self._needs[config.engine] if self._needs else estimate_bytes(config)
        assert need is not None
        return Prediction(need, {}, "", 0, need, 0.0, 0.0, 0, 0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(
    needs=st.lists(st.integers(1, 100), min_size=9, max_size=9),
    budgets=st.tuples(st.integers(1, 120), st.integers(1, 120)),
)
def test_a_bigger_budget_never_gives_a_slower_policy_and_what_fits_goes_on_fitting(needs, budgets):
    # Frozen snippets have no formula, so that the needs drawn here alone decide.
    config = replace(with_values(KINDS["inside"], {"model.representation.kind": "snippet"}), engine=AUTO)
    rungs = ladder(config)
    tracer = Known(dict(zip(rungs, needs, strict=False)))
    small, large = (choose(config, budget, tracer) for budget in sorted(budgets))  # type: ignore[arg-type]
    assert rungs.index(large.engine) <= rungs.index(small.engine) or not small.fits
    assert large.fits or not small.fits
    assert not small.fits or small.prediction.peak_bytes <= min(budgets)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(["inside", "outside", "frozen", "full", "giant"]), gib=st.floats(0.2, 100))
def test_the_formulas_shortcut_never_changes_the_choice(kind: str, gib: float):
    config = replace(KINDS[kind], engine=AUTO)
    choice = choose(config, int(gib * 2**30), Known())  # type: ignore[arg-type]
    fitting = [e for e in ladder(config) if (estimate_bytes(replace(config, engine=e)) or 0) <= gib * 2**30]
    assert choice.fits == bool(fitting)
    assert choice.engine == (fitting[0] if fitting else ladder(config)[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_ladder_has_distinct_policies_that_its_detector_can_follow(kind: str):
    rungs = ladder(KINDS[kind])
    assert len(rungs) >= 3
    assert len(set(rungs)) == len(rungs)
    for engine in rungs:
        assert replace(KINDS[kind], engine=engine).engine == engine
        assert engine.residual == "fp32"
        assert engine.weights != "int8"


@pytest.mark.parametrize("kind", ["inside", "outside", "giant"])
def test_the_formula_falls_down_a_ladder(kind: str):
    needs = [estimate_bytes(replace(KINDS[kind], engine=engine)) for engine in ladder(KINDS[kind])]
    assert needs == sorted(needs, reverse=True)  # type: ignore[type-var]


def test_a_leaner_policy_is_the_next_one_down():
    rungs = ladder(THUMOS)
    assert [leaner(THUMOS, engine) for engine in rungs] == [*rungs[1:], None]
    assert leaner(THUMOS, EngineConfig(clips=5)) is None


def test_a_policy_that_is_fixed_is_not_exchanged():
    config = replace(THUMOS, engine=EngineConfig(clips=5))
    assert resolve(config, 1, Known()) == EngineConfig(clips=5)  # type: ignore[arg-type]
    choice = choose(config, 1, Known())  # type: ignore[arg-type]
    assert (choice.engine, choice.fits) == (EngineConfig(clips=5), False)


@pytest.mark.parametrize(
    ("name", "backbone", "adapters"),
    [
        ("s", 21_879_168, 1_006_860),
        ("b", 86_225_664, 4_004_364),
        ("l", 303_858_688, 14_217_240),
        ("h", 631_604_480, 29_593_632),
        ("g", 1_011_607_936, 44_746_280),
    ],
)
def test_the_formula_counts_the_published_parameters(name: str, backbone: int, adapters: int):
    config = VIDEOMAE[f"videomae-{name}"]
    assert backbone_parameters(config) == backbone
    assert config.depth * adapter_parameters(config.width, AdapterConfig()) == adapters


def test_policies_are_said_in_words():
    engine = EngineConfig(keep_on="host", clips=8, inputs_on="host", averages_on="host", weights="bf16")
    assert engine_in_words(engine) == (
        "block inputs kept on the host, 8 clips at a time, bf16 frozen weights, frames and averages on the host"
    )
    assert engine_in_words(EngineConfig(every=2)) == "inputs of every 2 blocks kept"
