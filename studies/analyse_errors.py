"""What features and AdaTAD get wrong: error profile, missed actions, single videos (paper Figures 4, 6 and 7).

    python studies/analyse_errors.py --on thumos14 --data-root DIR --weights videomae-s.pth    # 2 trials
    python studies/analyse_errors.py                                                           # 6 trials, a laptop
    tadscale errors results/analyse_errors --plot results/analyse_errors/plots           # after either, the analysis

The study trains both arms; `tadscale errors` sets their DETAD analyses side by side, draws the figures and two videos
with the best detections of each. Expect end-to-end training to lower the share of localisation errors and of missed
short actions, as in the paper. The tiny preset took 3 min 17 s on two cores, pretraining included.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

ARMS = ("features", "adatad")

STUDY = Study(
    name="analyse_errors",
    title="What features and AdaTAD get wrong (paper Figures 4, 6 and 7)",
    presets={
        "tiny": Grid(base=presets.synthetic(), axes=presets.arms(*ARMS, snippet_stride=4), seeds=(0, 1, 2)),
        "paper": Grid(base=presets.paper(THUMOS14), axes=presets.arms(*ARMS)),
        "opentad": Grid(base=presets.paper(THUMOS14, variant="opentad"), axes=presets.released_arms(THUMOS14, *ARMS)),
    },
    x="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
