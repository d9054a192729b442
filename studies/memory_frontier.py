"""The largest backbone, frames and resolution per card, here and in the paper's set-up (beyond the paper).

    tadscale frontier --preset paper                 # what fits on which card, predicted; no GPU, data or weights
    python studies/memory_frontier.py --on thumos14 --data-root DIR --weights DIR              # 30 trials, measured
    python studies/memory_frontier.py                                                          # 18 trials, a laptop

`tadscale frontier` predicts every trial twice (17 minutes): as the paper executes it, and with the leanest policy of
this engine, which computes the same numbers. As a study it measures memory and time of one epoch; mAP means nothing.
Expect 24 GB to take g at 3,072 frames of 320², where the paper's set-up has no room for g. Tiny: two minutes.
"""

from harness import presets
from harness.cli.study import main
from harness.config import with_values
from harness.data.datasets import SYNTHETIC, THUMOS14
from harness.study import Grid, Study

PATHS = ("data.window.frames", "data.window.resolution")
INPUTS = ((768, 160), (768, 224), (1536, 160), (1536, 224), (3072, 224), (3072, 320))
SIZES = ("videomae-s", "videomae-b", "videomae-l", "videomae-h", "videomae-g")
SHORT = {"training.epochs": 1, "training.cosine_epochs": 1, "training.warmup_epochs": 0}

STUDY = Study(
    name="memory_frontier",
    title="The largest backbone, frames and resolution per card",
    presets={
        "tiny": Grid(
            base=presets.synthetic(SHORT),
            axes={
                **presets.backbones(SYNTHETIC, *presets.TINY_SIZES.values()),
                PATHS: ((32, 32), (32, 48), (64, 32), (64, 48), (128, 48), (256, 48)),
            },
        ),
        "paper": Grid(
            base=with_values(presets.paper(THUMOS14), {**SHORT, "training.batch_size": 1}),
            axes={**presets.backbones(THUMOS14, *SIZES), PATHS: INPUTS},
        ),
    },
    x="data.window.frames",
    by="model.backbone",
    measures="memory",
)

if __name__ == "__main__":
    main(STUDY)
