"""Kernel of the adapters' convolution, in tubelets and tokens (paper Table 13).

    python studies/scale_kernel.py --preset paper --on thumos14 --dry-run --device h100-80gb
    python studies/scale_kernel.py --on thumos14 --data-root DIR --weights DIR                 # 6 trials
    python studies/scale_kernel.py                                                             # 18 trials, a laptop

The paper (VideoMAE-B, THUMOS14): 71.5 with (3, 1, 1), 71.06 with (1, 1, 1), 70.63 with (3, 3, 3), then 71.02, 69.96 and
69.03 with 7, 13 and 21. Expect longer kernels not to help. A tiny window has 32 tubelets, so 21 of them are most of it.
The tiny preset took 3 min 37 s on two cores: no kernel beats 3 there by more than its spread over seeds.
"""

from harness import presets
from harness.cli.study import main
from harness.data.datasets import THUMOS14
from harness.study import Grid, Study

KERNELS = ((3, 1), (1, 1), (3, 3), (7, 1), (13, 1), (21, 1))
AXES = presets.paired(
    *({"model.adapter.kernel": time, "model.adapter.spatial_kernel": space} for time, space in KERNELS)
)

STUDY = Study(
    name="scale_kernel",
    title="Kernel of the adapters' convolution (paper Table 13)",
    presets={
        "tiny": Grid(base=presets.synthetic(), axes=AXES, seeds=(0, 1, 2)),
        "paper": Grid(base=presets.paper(THUMOS14, "videomae-b"), axes=AXES),
    },
    x="model.adapter.kernel",
    by="model.adapter.spatial_kernel",
)

if __name__ == "__main__":
    main(STUDY)
