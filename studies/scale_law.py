"""The joint law of frames, pixels and parameters, and how a budget is best spent on them (beyond the paper).

    python studies/scale_law.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/scale_law.py --on thumos14 --data-root DIR --weights DIR                    # 36 trials
    python studies/scale_law.py                                                                # 81 trials, a laptop

Every combination of backbone, frames and resolution, three values or more of each: fewer cannot tell an exponent from
a floor. The report fits error = E + A / frames^a + B / pixels^b + C / parameters^c to the single trials, with intervals
(pixels are those of a frame), and says what to spend a budget of operations or memory on; it refuses where the trials
do not hold that. Expect exponents above 0, each known within a factor of several only: three values are the least.
On two cores the tiny preset takes about 20 minutes, 14 within the suite; on synthetic videos it is refused a law.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import SYNTHETIC, THUMOS14
from harness.study import Grid, Study

STUDY = Study(
    name="scale_law",
    title="The joint law of frames, pixels and parameters",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={
                **presets.backbones(SYNTHETIC, *presets.TINY_SIZES.values()),
                "data.window.frames": (32, 64, 128),
                "data.window.resolution": (32, 48, 64),
            },
            seeds=(0, 1, 2),
        ),
        "paper": Grid(
            base=presets.paper(THUMOS14),
            axes={
                **presets.backbones(THUMOS14, "videomae-s", "videomae-b", "videomae-l", "videomae-h"),
                "data.window.frames": (768, 1536, 3072),
                "data.window.resolution": (160, 192, 224),
            },
        ),
    },
    x="data.window.frames",
    by="model.backbone",
)

if __name__ == "__main__":
    main(STUDY)
