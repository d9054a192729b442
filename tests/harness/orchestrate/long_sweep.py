"""A study for the tests to kill: two trials on one slot that would take minutes."""

import sys

from harness.orchestrate.cluster import connect
from harness.orchestrate.jobs import Job
from harness.orchestrate.sweep import run_sweep

if __name__ == "__main__":
    payload = {"work": sys.argv[1], "epochs": 1000, "sleep_s": 0.2}
    with connect(num_cpus=1) as cluster:
        outcomes = run_sweep(
            cluster,
            [Job(digest=name, name=name, payload=payload) for name in "ab"],
            execute="fake_trial.execute",
            num_slots=1,
            on_event=lambda event: print(event.kind, flush=True),
        )
    print({digest: outcome.state for digest, outcome in outcomes.items()})
