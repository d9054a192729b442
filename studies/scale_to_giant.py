"""To the giant backbone: adapters inside and beside it, more frames, more pixels (paper Table 6).

    python studies/scale_to_giant.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/scale_to_giant.py --on thumos14 --data-root DIR --weights DIR               # 8 trials
    python studies/scale_to_giant.py                                                           # 24 trials, a laptop

The paper (THUMOS14): L inside 73.5 for 11.0 GiB; g inside 74.8 for 29.9, beside it 73.7 for 22.8 at the same input,
and 75.4 for 43.6 GiB at 1536 frames of 224 x 224, where inside did not fit on 80 GB. OpenTAD's zoo has 77.07 for that
with adapters in the last 20 blocks (`--preset opentad`, whose runs beside g also have no drop path). Expect inside to
win at equal input and beside to win at equal memory. Tiny: 2 minutes on two cores within the suite.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import SYNTHETIC, THUMOS14
from harness.study import Grid, Study
from models.config import VIDEOMAE

point = presets.with_backbone
INPUTS = (("inside", 768, 160), ("outside", 768, 160), ("outside", 768, 224))
LARGE = (("inside", 1536, 224), ("outside", 1536, 224))
POINTS = (*(("videomae-l", where) for where in INPUTS), *(("videomae-g", where) for where in (*INPUTS, *LARGE)))
SIZES = {"videomae-l": presets.TINY_SIZES["s"], "videomae-g": presets.TINY_SIZES["m"]}
TINY = {768: 64, 1536: 128, 160: 32, 224: 48}
# What the released configs of g set, which differ in more than the placement.
RELEASED = ("model.backbone", *presets.WHERE, "model.adapter.ratio", "model.adapter.last_layers")
RELEASED = (*RELEASED, "model.head.input_dropout", "training.epochs", "training.adapter_lr")
ZOO = {
    INPUTS[0]: (0.25, None, 0.0, 60, 1e-4),
    LARGE[0]: (0.25, 20, 0.0, 50, 2e-4),
    LARGE[1]: (0.125, 20, 0.1, 50, 2e-4),
}

STUDY = Study(
    name="scale_to_giant",
    title="To the giant backbone, inside and beside it (paper Table 6)",
    presets={
        "tiny": Grid(
            base=presets.synthetic(),
            axes=presets.paired(
                *(point(SYNTHETIC, SIZES[b], (at, TINY[n], TINY[side])) for b, (at, n, side) in POINTS)
            ),
            seeds=(0, 1, 2),
        ),
        "paper": Grid(base=presets.paper(THUMOS14), axes=presets.paired(*(point(THUMOS14, *each) for each in POINTS))),
        "opentad": Grid(
            base=presets.paper(THUMOS14, "videomae-g", "opentad"),
            axes={RELEASED: tuple((VIDEOMAE["videomae-g"], *at, *sets) for at, sets in ZOO.items())},
        ),
    },
    x="model.backbone",
    by="model.adapter.placement",
)

if __name__ == "__main__":
    main(STUDY)
