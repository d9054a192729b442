"""Trials on Ray: which runs where and when, and what became of it. The only package that imports ray.

    sweep.run_sweep      Ray Tune decides which trial is next (sweep.py)
        |                    its trials are light relays: they ask the board and pass reports on (relay.py)
      board              a small actor that hands jobs to slots and carries reports back (board.py)
        |
      slots              places where one trial runs at a time, each a Ray Train worker group (slots.py, trainer.py)
        |
      worker.serve       what a Ray Train worker runs: job after job through `harness.trial.execute` (worker.py)

Around it: run.py (a study's jobs to rows), places.py and packing.py (what the cluster has room for), following.py
(machines that come and go), crew.py (all slots), ledger.py (what became of the jobs), interrupts.py (Ctrl-C).

Nothing here knows what a trial computes: a job is a dictionary, its result another one.
"""
