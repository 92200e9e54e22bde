"""Models that other people made, and that packages carry, give the right answers on inputs that exercise them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest
from conftest import TIMEOUT
from real_models import answers, sounds
from real_models.catalogue import MODELS
from real_models.refused import REFUSED

from harness import parity
from harness.adapters import AdapterSpec
from harness.kit import Program, arrays
from harness.live import Site, start
from harness.matrix import usable_cores
from harness.spec import bundle, layout
from harness.spec.reference import Arrays, Reference, relative_error
from harness.worker import WorkerFailed

CASES = [(name, asked) for name, entry in MODELS.items() for asked in ([False, True] if entry.asked else [False])]
IDS = [f"{name}-{'asked' if asked else 'default'}" for name, asked in CASES]


class Runner:
    """Runs one Program after another in one worker, which is started anew where it died."""

    def __init__(self, site: Site, adapter: AdapterSpec, device: str, scratch: Path):
        self.site, self.adapter, self.device, self.scratch = site, adapter, device, scratch
        self.worker = start(site, scratch / "worker.log", usable_cores(), device)
        self.worker.greet(TIMEOUT)
        self.networks = self.requests = 0

    def load(self, program: Program) -> None:
        if not self.worker.alive():
            self.worker = start(self.site, self.scratch / "worker.log", usable_cores(), self.device)
            self.worker.greet(TIMEOUT)
        self.networks += 1
        planned = layout.planned(program, self.adapter.layout)
        folder = bundle.write(program, self.scratch / f"bundle-{self.networks}", planned)
        options = {"mode": self.adapter.modes[0], "precision": "fp32", "threads": usable_cores()}
        self.worker.ask("load", TIMEOUT, network=self.networks, bundle=str(folder), device=self.device, options=options)

    def infer(self, inputs: Arrays) -> Arrays:
        """Outputs of the Program that was loaded last."""
        self.requests += 1
        given, made = (str(self.scratch / f"{what}-{self.requests}") for what in ("inputs", "outputs"))
        arrays.write_arrays(given, inputs)
        self.worker.ask("infer", TIMEOUT, network=self.networks, inputs=given, outputs=made)
        return parity.read(made)


@pytest.fixture(scope="module")
def runner(
    adapter: AdapterSpec,
    device: str,
    site_for: Callable[[str], Site],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runner]:
    made = Runner(site_for("infer"), adapter, device, tmp_path_factory.mktemp("real-models"))
    yield made
    made.worker.end()


def assert_right(outputs: Arrays, right: Reference) -> float:
    """Passes the gate; returns the largest error as a part of what the gate allows."""
    finding = parity.Finding()
    parity.check_outputs(finding, outputs, right)
    assert not finding.reason
    return max(
        relative_error(outputs[name], right.outputs[name]) / answers.allowed(right, name) for name in right.outputs
    )


@pytest.mark.parametrize(("name", "asked"), CASES, ids=IDS)
def test_a_real_model_gives_the_right_answers(
    name: str, asked: bool, runner: Runner, record_property: Callable[[str, object], None]
) -> None:
    question = answers.ask(name, asked)
    inputs = answers.inputs(name, question.program)
    refusal = REFUSED.get((runner.adapter.name, name))
    try:
        runner.load(question.lowered(runner.site.operators))
        outputs = runner.infer(inputs)
    except WorkerFailed as failure:
        assert failure.kind == "unsupported", f"{failure.reason}\n{failure.log_tail}"
        assert refusal is not None, failure.reason
        operator, reason = refusal
        assert failure.operator == operator and reason in failure.reason
        return
    assert refusal is None, "it runs now: take it out of tests/real_models/refused.py"
    record_property("error_by_allowance", assert_right(outputs, question.answer(inputs)))


@pytest.mark.parametrize("name", [name for name in MODELS if name.startswith("silero") and "static" not in name])
def test_silero_follows_speech_chunk_by_chunk(name: str, runner: Runner) -> None:
    if (runner.adapter.name, name) in REFUSED:
        pytest.skip("this adapter does not run it")
    question = answers.ask(name)
    first = answers.inputs(name, question.program)
    runner.load(question.lowered(runner.site.operators))
    ours, theirs = dict(first), dict(first)
    speech = numpy.pad(sounds.speech(6 * 512, 16000, 3), (64, 0)).astype(numpy.float32)
    heard = []
    for begin in range(0, 6 * 512, 512):
        chunk = {"input": speech[None, begin : begin + 576]}
        right, outputs = question.answer({**theirs, **chunk}), runner.infer({**ours, **chunk})
        assert_right(outputs, right)
        ours = {**ours, **_state(outputs)}
        theirs = {**theirs, **_state(right.outputs)}
        heard.append(float(next(iter(outputs.values())).reshape(-1)[0]))
    assert max(heard) > 0.5 > min(heard)


def _state(outputs: Arrays) -> Arrays:
    """The outputs of one chunk that are inputs of the next."""
    names = {"stateN": "state", "hn": "h", "cn": "c"}
    return {names[name]: numpy.asarray(array, numpy.float32) for name, array in outputs.items() if name in names}
