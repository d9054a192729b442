"""From a prediction to a need, and what the margin may not do."""

from collections.abc import Callable

import pytest

from harness import presets
from harness.orchestrate.jobs import Job
from harness.orchestrate.needs import PROCESS_BYTES, clamped, need_of
from harness.orchestrate.packing import Need, Node, Packing
from harness.trial import TrialJob

GIB = 2**30
PACKING = Packing([Node(name="a", cpus=8, host_bytes=64 * GIB, cards=(24 * GIB,))])


@pytest.fixture
def trial(make_job: Callable[..., TrialJob]) -> Callable[..., TrialJob]:
    """Return what makes a trial's job with a predicted peak, and bytes on the host."""

    def make(peak: int, host: int = 0) -> TrialJob:
        config = presets.synthetic_adatad()
        return make_job(config, data_workers=4, predicted_peak_bytes=peak, predicted_host_bytes=host, slot="fresh")

    return make


def test_on_a_card_the_prediction_is_card_memory_and_the_rest_is_the_hosts(trial: Callable[..., TrialJob]) -> None:
    need = need_of(trial(10 * GIB, host=3 * GIB), margin=1.2, on_card=True, exclusive=False)
    assert need == Need(cpus=1, card_bytes=12 * GIB, host_bytes=5 * PROCESS_BYTES + 3 * GIB)


def test_without_a_card_it_is_the_hosts(trial: Callable[..., TrialJob]) -> None:
    assert need_of(trial(10 * GIB), margin=1.2, on_card=False, exclusive=False).host_bytes == PROCESS_BYTES + 12 * GIB


def test_a_trial_that_fits_without_the_margin_gets_the_whole_card_and_one_that_does_not_is_refused() -> None:
    def job(peak: int) -> Job:
        return Job(digest="a", name="a", payload={}, predicted_peak_bytes=peak, need=Need(card_bytes=int(peak * 1.1)))

    tight, large = clamped(job(23 * GIB), PACKING), clamped(job(25 * GIB), PACKING)
    assert tight.need.card_bytes == 24 * GIB
    assert PACKING.could_fit(tight.need)
    assert not PACKING.could_fit(large.need)
