"""synchronize() waits until the work is done: else its framework would look faster than it is."""

from __future__ import annotations

import random
from collections.abc import Iterator

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject
from harness.measure.energy import Meter
from harness.rounds import Rounds
from harness.suite import Settings


def check(subject: Subject) -> Iterator[Finding]:
    # Not warmed up: what does not wait would be asked for thousands of steps meanwhile, and be busy for minutes.
    rounds = Rounds(Settings(warm_up_seconds=0.0), random.Random(0), lambda *facts: None, Meter())
    for purpose in subject.purposes:
        live = subject.load(subject.work(purpose))
        rounds.warm_up(live)
        live.ask("close")
        about = f"{purpose} {live.cell.model}, batch {live.cell.batch}"
        if live.finding.reason:
            yield failed(f"{about}: {live.finding.reason}", subject.source.method("synchronize"))
        else:
            yield passed(f"{about}: it waits")
