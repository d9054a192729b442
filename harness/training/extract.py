"""Offline features for `tuning=features`: the frozen backbone goes over every video once, before training.

    video -> consecutive windows, centre view -> frozen backbone -> feature cells -> one file per video

What is there already is kept, so the extraction goes on where a killed one stopped, and trials share it. Each window
is encoded by itself: a clip transformer does not notice, a backbone over native time sees no frames past a window's
edge, as in training.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness.config import TrialConfig, with_values
from harness.data.features import FeatureStore
from harness.data.index import Dataset, Video
from harness.data.loader import stretch_loader
from harness.data.sampling import consecutive_stretches
from harness.training.distributed import gather
from harness.training.precision import autocast
from harness.training.report import Interrupted, Reporter

if TYPE_CHECKING:
    from harness.training.loop import Places


def ensure_features(
    config: TrialConfig, places: "Places", dataset: Dataset, reporter: Reporter, unreadable: dict[str, str]
) -> FeatureStore:
    """Return the features of every video of both subsets, extracting what is missing; ranks share the work.

    Videos that turn out unreadable are added to `unreadable`.

    Raises:
        Interrupted: the reporter asked to stop; what was extracted is kept.
    """
    store = FeatureStore.of(config, places.features or places.work / "features")
    subsets = (config.data.train_subset, config.data.test_subset)
    videos = [video for subset in dict.fromkeys(subsets) for video in dataset.subset(subset)]
    missing = [video for video in videos if video.video_id not in store and video.video_id not in unreadable]
    mine = missing[reporter.rank :: reporter.world_size]
    if mine:
        _extract(mine, store, config, places, dataset, reporter, unreadable)
    for part in gather(unreadable):
        unreadable.update(part)
    return store


def _extract(
    videos: list[Video],
    store: FeatureStore,
    config: TrialConfig,
    places: "Places",
    dataset: Dataset,
    reporter: Reporter,
    unreadable: dict[str, str],
) -> None:
    from harness.training.loop import prepare_detector

    device = torch.device(places.device)
    # Training's random stream must not notice; and random weights are those of a `frozen` trial with this seed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        frozen = prepare_detector(with_values(config, {"model.tuning": "frozen"}), places).to(device).eval()
    for number, video in enumerate(videos):
        if reporter.should_stop():
            raise Interrupted(f"stopped after the features of {number} of {len(videos)} videos")
        stretches = consecutive_stretches(video.info.num_frames, config.data.window)
        loader = stretch_loader(
            [(video, stretch) for stretch in stretches],
            dataset.classes,
            config.data,
            batch_size=1,
            workers=places.data_workers,
            unreadable=unreadable,
        )
        parts = []
        for batch in loader:
            with torch.inference_mode(), autocast(config.training.precision, device.type):
                cells = frozen.features(batch.inputs.to(device), batch.mask.shape[1])
            parts.append(cells[0, :, : batch.windows[0].num_valid_cells].float().cpu().numpy().T)
        if video.video_id not in unreadable:
            store.write(video.video_id, np.concatenate(parts))
        reporter.report({"extracted": number + 1, "videos": len(videos)})


def features_folder(results: Path) -> Path:
    """Return where a study keeps its trials' features."""
    return results / "features"
