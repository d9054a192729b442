"""Every study, one after the other.

    python studies/all.py --preset tiny                                   unattended; the same command goes on again
    python studies/all.py --preset paper --dry-run --device h100-80gb     every trial with its predicted memory

The same as `tadscale reproduce`, which lists the options. Results, one folder a study, and reproduction.md are in
results/ (or --results DIR). The whole tiny suite took 66 minutes on two cores of an AMD EPYC; on slower ones
(Intel Xeon, 2.8 GHz) its trials were half as fast.
"""

import sys

from harness.cli.tadscale import main
from studies import (
    analyse_errors,
    compare_adapters,
    compare_heads,
    compare_placement,
    compare_pretraining,
    compare_representation,
    compare_tuning,
    ego4d_moment_queries,
    epic_kitchens,
    memory_frontier,
    scale_backbone,
    scale_frames,
    scale_kernel,
    scale_law,
    scale_to_giant,
    tune_learning_rate,
)

STUDIES = tuple(
    module.STUDY
    for module in (
        analyse_errors,
        compare_tuning,
        compare_adapters,
        compare_placement,
        scale_frames,
        scale_backbone,
        scale_to_giant,
        scale_kernel,
        compare_heads,
        compare_representation,
        tune_learning_rate,
        epic_kitchens,
        ego4d_moment_queries,
        compare_pretraining,
        scale_law,
        memory_frontier,
    )
)
"""In the order in which they run; `analyse_errors` comes first, as it keeps its own detections."""

if __name__ == "__main__":
    main(["reproduce", *sys.argv[1:]])
