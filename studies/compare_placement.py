"""Adapters inside the backbone and beside it, at two resolutions and three sizes (paper Table 11).

    python studies/compare_placement.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/compare_placement.py --on thumos14 --data-root DIR --weights DIR            # 12 trials
    python studies/compare_placement.py                                                        # 24 trials, a laptop

The paper (THUMOS14, 768 frames): S 68.8 inside for 2.5 GiB and 68.0 beside it for 1.8 at 160 x 160; beside L at 224 x
224 73.7 for 10.8 GiB against 73.5 inside at 160 x 160 for 11.0. Expect inside to win at equal input,
by 0.4 to 1.8 points, and beside to win at equal memory. Tiny (two sizes): 7 minutes on two cores within the suite.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import SYNTHETIC, THUMOS14
from harness.study import Grid, Study

PLACEMENT = {"model.adapter.placement": ("inside", "outside")}
TINY = (presets.TINY_SIZES["s"], presets.TINY_SIZES["m"])

STUDY = Study(
    name="compare_placement",
    title="Adapters inside the backbone and beside it (paper Table 11)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={**presets.backbones(SYNTHETIC, *TINY), **PLACEMENT, "data.window.resolution": (32, 48)},
            seeds=(0, 1, 2),
        ),
        "paper": Grid(
            base=presets.paper(THUMOS14),
            axes={
                **presets.backbones(THUMOS14, "videomae-s", "videomae-b", "videomae-l"),
                **PLACEMENT,
                "data.window.resolution": (160, 224),
            },
        ),
    },
    x="model.backbone",
    by="model.adapter.placement",
)

if __name__ == "__main__":
    main(STUDY)
