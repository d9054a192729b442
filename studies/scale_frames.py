"""Frames per window and resolution against mAP and memory (paper Table 5).

    python studies/scale_frames.py              3 frame counts x 2 resolutions x 3 seeds on synthetic video, on a laptop
    python studies/scale_frames.py --quick      the same question in under two minutes
    python studies/scale_frames.py --dry-run    trials and predicted memory; runs nothing

A window always covers the same stretch of video; more frames sample it more densely. The paper (VideoMAE-S,
THUMOS14): 68.8, 69.7 and 70.6 average mAP with 768, 1536 and 3072 frames at 160 x 160, and 70.7, 71.0 and 71.5 at
224 x 224, for 2.5 to 11.6 GiB. Expect both to help, pixels first. The tiny preset took 5 min 30 s on two cores.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

STUDY = Study(
    name="scale_frames",
    title="Frames per window and resolution against mAP and memory (paper Table 5)",
    presets={
        "tiny": Grid(
            base=presets.synthetic_adatad(),
            axes={"data.window.frames": (32, 64, 128), "data.window.resolution": (32, 48)},
            seeds=(0, 1, 2),
        ),
        "quick": Grid(
            base=presets.synthetic_adatad(quick=True),
            axes={"data.window.frames": (32, 64, 128), "data.window.resolution": (32,)},
            seeds=(0,),
        ),
        "paper": Grid(
            base=presets.paper(THUMOS14, "videomae-s"),
            axes={"data.window.frames": (768, 1536, 3072), "data.window.resolution": (160, 224)},
            seeds=(0,),
        ),
    },
    x="data.window.frames",
    by="data.window.resolution",
)

if __name__ == "__main__":
    main(STUDY)
