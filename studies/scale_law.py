"""The joint law of pixels and parameters, and how a budget is best split between them (beyond the paper).

    python studies/scale_law.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/scale_law.py --on thumos14 --data-root DIR --weights DIR                    # 24 trials
    python studies/scale_law.py                                                                # 36 trials, a laptop

Every combination of backbone, frames and resolution. The report fits error = E + A / pixels^alpha + B / parameters^beta
to the single trials, with intervals, and says how many pixels and parameters a product of the two is best spent on;
it refuses where the trials do not hold a surface. Pixels are frames times resolution squared, of one window.
Expect both exponents above 0. On two cores the tiny preset should take about 15 minutes (not run yet).
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import SYNTHETIC, THUMOS14
from harness.study import Grid, Study

STUDY = Study(
    name="scale_law",
    title="The joint law of pixels and parameters",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={
                **presets.backbones(SYNTHETIC, presets.TINY_SIZES["xs"], presets.TINY_SIZES["m"]),
                "data.window.frames": (32, 64, 128),
                "data.window.resolution": (32, 48),
            },
            seeds=(0, 1, 2),
        ),
        "paper": Grid(
            base=presets.paper(THUMOS14),
            axes={
                **presets.backbones(THUMOS14, "videomae-s", "videomae-b", "videomae-l", "videomae-h"),
                "data.window.frames": (768, 1536, 3072),
                "data.window.resolution": (160, 224),
            },
        ),
    },
    x="data.window.frames",
    by="model.backbone",
)

if __name__ == "__main__":
    main(STUDY)
