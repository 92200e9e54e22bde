"""What the harness itself costs, and whether its clock is fair: one script a question.

    python benchmarks/NAME.py

Each prints a small table of its figures and what they should be at most, and keeps its last results, with the date, the
machine and the versions, in benchmarks/results/NAME.json. `--help` says what it can be told; `_results.py` is what they
share. They need the harness installed (`pip install -e .`), and nothing else where not said otherwise.

- contention: a ratio is the same when measured again, and beside a neighbour that burns a core.
- native: adapters are as fast as what their frameworks' best users write by hand.
- specialise: a Program of 10,000 nodes is made within 10 seconds, in time linear in its nodes.
- weights: a gigabyte of weights is written once and mapped by workers.
- report: a journal of a million samples becomes a report within 10 seconds.
- overhead: what the clock, the wire and parking cost, by the adapter that does nothing.
- quick_share: how much of a run's time was spent on timed or warming-up work, and on what the rest.
"""
