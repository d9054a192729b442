"""Full fine-tuning, LongLoRA, plain adapters, TIA without residual, TIA, both together (paper Tables 7 and 14).

    python studies/compare_adapters.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/compare_adapters.py --on thumos14 --data-root DIR --weights DIR             # 6 trials
    python studies/compare_adapters.py --on activitynet ... --class-scores CUHK.json
    python studies/compare_adapters.py                                                         # 18 trials, a laptop

The paper (THUMOS14): full fine-tuning 70.1, LongLoRA 71.1 (28 M parameters), plain 70.2 (3.6 M), without residual 70.8,
TIA 71.5 (4.0 M). Expect TIA to beat the plain adapter by about a point for the same memory. The tiny preset, of 24
epochs, takes 7 minutes on two cores: TIA beats full fine-tuning by 3.2 ± 3.2 points (3 seeds) and LongLoRA by as much.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study
from models.config import AdapterConfig

AXES = presets.paired(
    {"model.tuning": "full", "model.adapter": None},
    {"model.tuning": "adapter", "model.adapter": AdapterConfig(kind="longlora")},
    {"model.tuning": "adapter", "model.adapter": AdapterConfig(kind="plain")},
    {"model.tuning": "adapter", "model.adapter": AdapterConfig(kind="tia_no_residual")},
    {"model.tuning": "adapter", "model.adapter": AdapterConfig(kind="tia")},
    {"model.tuning": "full", "model.adapter": AdapterConfig(kind="tia")},
)

STUDY = Study(
    name="compare_adapters",
    title="Kinds of adapters (paper Tables 7 and 14)",
    presets={
        "tiny": Grid(base=presets.synthetic(presets.TINY_LONGER), axes=AXES, seeds=(0, 1, 2)),
        "paper": Grid(base=presets.paper(THUMOS14, "videomae-b"), axes=AXES),
    },
    x="model.adapter",
    by="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
