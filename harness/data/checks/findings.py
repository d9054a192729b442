"""What a check finds, and which of it matters.

| weight | meaning |
|---|---|
| `stops` | a study refuses to start |
| `matters` | results are about something else than the annotations say: look at it |
| `harmless` | mended by rule, or of no consequence here; said so that counts add up |
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.data import annotations as rules
from harness.data.annotations import Flaw
from harness.data.files import TEXT_TIME
from harness.data.listing import Listing

Weight = Literal["stops", "matters", "harmless"]
WEIGHTS: tuple[Weight, ...] = ("stops", "matters", "harmless")
NUM_EXAMPLES = 3

CONSEQUENCES: dict[str, tuple[Weight, str]] = {
    rules.STRANGER: ("stops", "a study refuses them: mend the class list or the label"),
    rules.LATE_START: ("matters", "dropped; the annotations may be of another version of the video"),
    rules.NO_END: ("matters", "dropped; no detector can find a segment without length"),
    rules.LATE_END: ("harmless", "cut at the video's end"),
    rules.EARLY: ("harmless", "begin at 0 instead"),
    rules.TWICE: ("harmless", "kept once, as OpenTAD does"),
    rules.NO_DURATION: ("harmless", "taken from the video file"),
    rules.UNSCORED_LABEL: ("harmless", "THUMOS14's stretches that count neither for nor against"),
    TEXT_TIME: ("harmless", "read as numbers"),
}
"""What each kind of flaw leads to (harness.data.annotations has the rules)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing that was found."""

    weight: Weight
    kind: str
    count: int
    consequence: str
    examples: tuple[str, ...] = ()


def of_flaws(listing: Listing, flaws: Sequence[Flaw]) -> list[Finding]:
    """Return what mending a listing found, by kind."""
    examples: defaultdict[str, list[str]] = defaultdict(list)
    for flaw in flaws:
        if len(examples[flaw.kind]) < NUM_EXAMPLES:
            examples[flaw.kind].append(_example(flaw))
    counts = Counter(flaw.kind for flaw in flaws) + Counter(listing.repairs)
    return [
        Finding(
            weight=CONSEQUENCES[kind][0],
            kind=kind,
            count=count,
            consequence=CONSEQUENCES[kind][1],
            examples=tuple(examples[kind]),
        )
        for kind, count in counts.items()
    ]


def of_classes(listing: Listing, classes: Sequence[str], train: str, test: str, published: int | None) -> list[Finding]:
    """Return what the classes' number and their spread over the subsets show.

    Args:
        listing: The annotations.
        classes: The class list.
        train: The subset to train on.
        test: The subset to test on.
        published: How many classes the data set has; None: any number.
    """
    seen = {
        subset: {action.label for video in listing.videos if video.subset == subset for action in video.actions}
        for subset in (train, test)
    }
    never = [label for label in classes if not any(label in labels for labels in seen.values())]
    unlearnt = [label for label in classes if label in seen[test] and label not in seen[train]]
    found = []
    if published is not None and len(classes) != published:
        consequence = f"the data set is published with {published} classes: results cannot be compared"
        found.append(_of_labels("matters", "class list of another length", classes, consequence))
    if unlearnt:
        found.append(_of_labels("matters", f"class of {test} that {train} lacks", unlearnt, "no detector can learn it"))
    if never:
        consequence = "the head has an output for it that never fires; mAP leaves it out"
        found.append(_of_labels("harmless", "class without an action", never, consequence))
    return found


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings, what weighs most first."""
    return sorted(findings, key=lambda finding: (WEIGHTS.index(finding.weight), -finding.count))


def _of_labels(weight: Weight, kind: str, labels: Sequence[str], consequence: str) -> Finding:
    return Finding(
        weight=weight, kind=kind, count=len(labels), consequence=consequence, examples=tuple(labels[:NUM_EXAMPLES])
    )


def _example(flaw: Flaw) -> str:
    if flaw.action is None:
        return flaw.video_id
    return f"{flaw.video_id} {flaw.action.start_s:g}-{flaw.action.end_s:g} s {flaw.action.label}"
