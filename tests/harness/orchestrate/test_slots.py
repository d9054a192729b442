"""Slots without a cluster: what the study does with those that never got a turn."""

import threading

from harness.orchestrate.slots import Slot, SlotConfig


def test_a_slot_that_was_never_started_has_nothing_to_wait_for():
    config = SlotConfig(kind="warm", board="none", execute="none", storage="none")
    slot = Slot(0, config, threading.Event())
    assert slot.join(timeout_s=60)
    assert not slot.alive
