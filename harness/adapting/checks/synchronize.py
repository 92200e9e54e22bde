"""synchronize() waits until the work is done: else its framework would look faster than it is."""

from __future__ import annotations

import random
from collections.abc import Iterator

from harness.adapting.findings import Finding, failed, passed
from harness.adapting.subject import Subject
from harness.measure.energy import Meter
from harness.rounds import Rounds
from harness.suite import Settings

#: Steps are warmed up for at most so long, as before a comparison.
_WARM_UP = 0.5


def check(subject: Subject) -> Iterator[Finding]:
    rounds = Rounds(Settings(warm_up_seconds=_WARM_UP), random.Random(0), lambda *facts: None, Meter())
    for purpose in subject.purposes:
        for workload in (subject.smallest(purpose).workload, subject.work(purpose)):
            live = subject.load(workload)
            rounds.warm_up(live)
            live.ask("close")
            about = f"{purpose} {workload.model.name}, batch {workload.batch}"
            if live.finding.reason:
                yield failed(f"{about}: {live.finding.reason}", subject.source.method("synchronize"))
            else:
                yield passed(f"{about}: it waits")
