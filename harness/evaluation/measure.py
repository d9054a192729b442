"""All measures of one data set from ground truth and detections, and how programs get them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from harness.evaluation.average_precision import MapResult, evaluate
from harness.evaluation.columns import DetectionRow, Ties
from harness.evaluation.ground_truth import GroundTruth
from harness.evaluation.recall import MOST_PROPOSALS, ProposalRecall, proposal_recall, recall_at_kx
from harness.evaluation.settings import Metric, Protocol
from harness.evaluation.thumos14 import evaluate_thumos14

PROPOSALS_SHOWN = (1, 5, 10, 50, 100)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured, and on what."""

    protocol: Protocol
    ties: Ties
    subset: str
    videos: tuple[str, ...]
    """Ids of the evaluated videos, sorted."""
    result: MapResult
    recall: dict[int, dict[float, float]] | None = None
    """Recall@kx per k and threshold."""
    proposals: ProposalRecall | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result for programs; shares of 1, thresholds as text."""
        result = self.result
        document: dict[str, Any] = {
            "protocol": self.protocol,
            "subset": self.subset,
            "ties": self.ties,
            "videos": result.num_videos,
            "instances": result.num_instances,
            "map_at": _by_text(result.map_at),
            "map_avg": result.map_avg,
            "ap": {label: _by_text(at) for label, at in result.ap.items()},
            "dropped": {"not_positive": result.num_non_positive, "duplicate": result.num_duplicates},
            "detections": {"of_other_classes": result.num_other_labels, "in_other_videos": result.num_outside},
            "video_list": list(self.videos),
        }
        if self.recall is not None:
            document["recall_at_kx"] = {str(k): _by_text(at) for k, at in self.recall.items()}
        if self.proposals is not None:
            document["ar_at"] = {str(number): self.proposals.at[number - 1] for number in PROPOSALS_SHOWN}
            document["ar_area"] = self.proposals.area
        return document


def measure(
    truth: GroundTruth,
    detections: Mapping[str, Sequence[DetectionRow]],
    tious: Sequence[float],
    *,
    protocol: Protocol = "activitynet",
    ties: Ties = "values",
    metrics: Collection[Metric] = ("map",),
) -> Measured:
    """Measure detections by a protocol.

    Args:
        truth: What there is to find.
        detections: What was found.
        tious: Thresholds of temporal IoU.
        protocol: `activitynet` keeps all actions, `opentad` drops flawed ones, `thumos14` is the challenge's toolkit.
        ties: What ranks equal scores.
        metrics: What to add to average precision: `recall` (at kx), `proposals` (AR@AN).

    Raises:
        ValueError: what cannot be measured, in one sentence; also where no detection belongs to a video or class of the
            ground truth, since that is names that differ rather than a bad detector.
    """
    unknown = sorted(set(metrics) - set(get_args(Metric)))
    if unknown:
        raise ValueError(f"the metric is {unknown[0]}, expected one of {', '.join(get_args(Metric))}")
    check_names(truth, detections)
    drop_flawed = protocol == "opentad"
    if protocol == "thumos14":
        result = evaluate_thumos14(truth.actions, detections, tious, ambiguous=truth.ambiguous, ties=ties)
    else:
        result = evaluate(truth.actions, detections, tious, drop_flawed=drop_flawed, ties=ties)
    recall = proposals = None
    if "recall" in metrics:
        recall = recall_at_kx(truth.actions, detections, tious, drop_flawed=drop_flawed, ties=ties)
    if "proposals" in metrics:
        proposals = proposal_recall(truth.actions, detections, most=MOST_PROPOSALS, drop_flawed=drop_flawed, ties=ties)
    return Measured(
        protocol=protocol,
        ties=ties,
        subset=truth.subset,
        videos=tuple(sorted(truth.actions)),
        result=result,
        recall=recall,
        proposals=proposals,
    )


def check_names(truth: GroundTruth, detections: Mapping[str, Sequence[DetectionRow]]) -> None:
    """Refuse detections of which none belongs to a video, or none to a class, of the ground truth.

    Raises:
        ValueError: they go by other names.
    """
    found = [video_id for video_id, rows in detections.items() if rows]
    if found and not any(video_id in truth.actions for video_id in found):
        raise ValueError(
            f"no detection lies in a video of subset {truth.subset!r}: the detections name {found[0]!r}, "
            f"the annotations {next(iter(truth.actions))!r}; expected the same ids"
        )
    labels = {row[2] for rows in truth.actions.values() for row in rows}
    others = (row[2] for rows in detections.values() for row in rows)
    first = next(others, None)
    if first is not None and first not in labels and not any(label in labels for label in others):
        raise ValueError(
            f"no detection has a label of the annotations: the detections say {first!r}, the annotations "
            f"{min(labels)!r}; expected the same labels"
        )


def _by_text(values: Mapping[float, float]) -> dict[str, float]:
    return {f"{tiou:g}": value for tiou, value in values.items()}
