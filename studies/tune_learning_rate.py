"""Learning rate of the adapters (paper Section 4.2).

    python studies/tune_learning_rate.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/tune_learning_rate.py --on thumos14 --data-root DIR --weights videomae-s.pth   # 5 trials
    python studies/tune_learning_rate.py                                                          # 15 trials, a laptop

The paper searches 5e-5 to 5e-4 for every backbone and data set and prints no numbers; the released configs have 2e-4
for VideoMAE-S and 1e-4 for the larger ones on THUMOS14. Expect a flat top around 2e-4. The tiny preset has twenty times
these rates, as its schedule is a few hundred steps. It takes 4 minutes on two cores.
`--set model.backbone=videomae-s,videomae-b` searches for each of several backbones; other studies then take what was
found for theirs with `--set training.adapter_lr=best:tune_learning_rate`.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

RATES = (5e-5, 1e-4, 2e-4, 3e-4, 5e-4)

STUDY = Study(
    name="tune_learning_rate",
    title="Learning rate of the adapters (paper Section 4.2)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes={"training.adapter_lr": (1e-3, 2e-3, 4e-3, 6e-3, 1e-2)},
            seeds=(0, 1, 2),
        ),
        "paper": Grid(base=presets.paper(THUMOS14), axes={"training.adapter_lr": RATES}),
    },
    x="training.adapter_lr",
)

if __name__ == "__main__":
    main(STUDY)
