"""Offline features: the frozen backbone goes over every video once, before training.

    video -> windows, centre view -> frozen backbone -> feature cells -> one file per video

What is there already is kept, so the extraction goes on where a killed one stopped, and trials share it. A trial's
windows touch, and each is encoded by itself: a clip transformer does not notice, a backbone over native time sees no
frames past a window's edge, as in training. For snippets of any length `margin` lets windows overlap, so that none is
cut at an edge.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float

from harness.config import TrialConfig, WindowConfig, with_values
from harness.data.features import FeatureStore
from harness.data.given_features import GivenFeatures
from harness.data.guard import BATCH_TIMEOUT_S
from harness.data.index import Dataset, Video
from harness.data.loader import stretch_loader
from harness.data.sampling import Stretch
from harness.training.distributed import gather
from harness.training.precision import autocast
from harness.training.report import Interrupted, Reporter
from models.config import OfflineConfig
from models.detector import Detector

if TYPE_CHECKING:
    from harness.training.loop import Places


def ensure_features(
    config: TrialConfig, places: "Places", dataset: Dataset, reporter: Reporter, unreadable: dict[str, str]
) -> FeatureStore:
    """Return the features of every video of both subsets, extracting what is missing; ranks share the work.

    With an offline backbone they are the user's own, and nothing is extracted. Videos that turn out unreadable are
    added to `unreadable`.

    Raises:
        Interrupted: the reporter asked to stop; what was extracted is kept.
        ValueError: features were to be given, and are not.
    """
    if isinstance(config.model.backbone, OfflineConfig):
        if places.features is None:
            raise ValueError(f"model.backbone is {config.model.backbone.name}, but no folder of features was given")
        return GivenFeatures.open(places.features, config.model.backbone.channels)
    store = FeatureStore.of(config, places.features or places.work / "features")
    subsets = (config.data.train_subset, config.data.test_subset)
    videos = [video for subset in dict.fromkeys(subsets) for video in dataset.subset(subset)]
    missing = [video for video in videos if video.video_id not in store and video.video_id not in unreadable]
    mine = missing[reporter.rank :: reporter.world_size]
    if mine:
        _extract(mine, store, config, places, reporter, unreadable)
    for part in gather(unreadable):
        unreadable.update(part)
    return store


def encode(
    frozen: Detector,
    video: Video,
    config: TrialConfig,
    *,
    device: torch.device | str = "cpu",
    workers: int = 0,
    batch_timeout_s: float = BATCH_TIMEOUT_S,
    margin: int = 0,
    unreadable: dict[str, str],
) -> Float[np.ndarray, "cells channels"] | None:
    """Return a video's features, one per cell of `data.window`; None, and the reason in `unreadable`, if it fails.

    Args:
        frozen: a detector with `tuning=frozen` on the device, ready to detect.
        video: the video; its actions do not matter.
        config: how windows are cut and encoded.
        device: where the detector is.
        workers: decoding processes; 0 decodes in this one.
        batch_timeout_s: longest wait for frames without any sign of life from those who load them.
        margin: cells at each edge of a window that are left to its neighbour.
        unreadable: videos given up, by id.
    """
    pieces = cut(video.info.num_frames, config.data.window, margin)
    bare = replace(video, actions=())
    loader = stretch_loader(
        [(bare, stretch) for stretch, _, _ in pieces],
        (),
        config.data,
        batch_size=1,
        workers=workers,
        batch_timeout_s=batch_timeout_s,
        unreadable=unreadable,
    )
    parts = []
    for batch, (_, first, end) in zip(loader, pieces, strict=False):
        with torch.inference_mode(), autocast(config.training.precision, torch.device(device).type):
            cells = frozen.features(batch.inputs.to(device), batch.mask.shape[1])
        parts.append(cells[0, :, first:end].float().cpu().numpy().T)
    return None if video.video_id in unreadable else np.concatenate(parts)


def cut(num_frames: int, window: WindowConfig, margin: int = 0) -> list[tuple[Stretch, int, int]]:
    """Cut a whole video into windows, with the first and the end of the cells that each is to give.

    Together they give every cell once. At the video's own ends there is no margin.
    """
    if window.mode == "resize":
        return [(Stretch(start_frame=0, num_frames=num_frames), 0, window.features)]
    total = math.ceil(num_frames / window.cell)
    pieces: list[tuple[Stretch, int, int]] = []
    done = 0
    while done < total:
        first = max(0, done - margin)
        last = min(first + window.features, total)
        end = total if last == total else last - margin
        start = first * window.cell
        stretch = Stretch(start_frame=start, num_frames=min(window.span, num_frames - start))
        pieces.append((stretch, done - first, end - first))
        done = end
    return pieces


def _extract(
    videos: Sequence[Video],
    store: FeatureStore,
    config: TrialConfig,
    places: "Places",
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
        features = encode(
            frozen,
            video,
            config,
            device=device,
            workers=places.data_workers,
            batch_timeout_s=places.batch_timeout_s,
            unreadable=unreadable,
        )
        if features is not None:
            store.write(video.video_id, features)
        reporter.report({"extracted": number + 1, "videos": len(videos)})


def features_folder(results: Path) -> Path:
    """Return where a study keeps its trials' features."""
    return results / "features"
