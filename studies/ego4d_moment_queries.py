"""Ego4D Moment Queries: features, full fine-tuning, AdaTAD with VideoMAE-L (paper Table 10).

    python studies/ego4d_moment_queries.py --preset paper --on ego4d --dry-run --device h100-80gb
    python studies/ego4d_moment_queries.py --on ego4d --data-root DIR --weights DIR            # 3 trials
    python studies/ego4d_moment_queries.py                                                     # 9 trials, a laptop

A window is a clip of eight minutes, 7,200 frames. The paper reaches 28.08 mAP with AdaTAD at 900 cells and 160 x 160
for 60.0 GiB; OpenTAD's zoo 28.41 at 1,800 cells and 192 x 192 with adapters in the last 12 blocks (`--preset opentad`),
and ActionFormer 27.52 on InternVideo features. Expect AdaTAD to beat features by about a point.
The tiny preset asks the same on synthetic videos, in about 3 minutes on two cores; the suite has every trial by then.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import EGO4D
from harness.study import Grid, Study

ARMS = ("features", "full", "adatad")

STUDY = Study(
    name="ego4d_moment_queries",
    title="Ego4D Moment Queries: features, full fine-tuning, AdaTAD (paper Table 10)",
    presets={
        "tiny": Grid(base=presets.synthetic(), axes=presets.arms(*ARMS, snippet_stride=4), seeds=(0, 1, 2)),
        "paper": Grid(base=presets.paper(EGO4D, "videomae-l"), axes=presets.arms(*ARMS, snippet_stride=8)),
        "opentad": Grid(base=presets.paper(EGO4D, "videomae-l", "opentad"), axes={"model.tuning": ("adapter",)}),
    },
    x="model.tuning",
)

if __name__ == "__main__":
    main(STUDY)
