"""Models that other people made, and that packages carry, give the right answers on inputs that exercise them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import onnx
import pytest
from conftest import TIMEOUT
from real_models import answers, sounds
from real_models.catalogue import MODELS, WORDS
from real_models.refused import REFUSED

from harness import parity
from harness.adapters import AdapterSpec
from harness.kit import Program, arrays
from harness.live import Site, start
from harness.matrix import usable_cores
from harness.paths import ADAPTERS
from harness.spec import bundle, layout
from harness.spec.reference import Arrays, Reference, relative_error
from harness.worker import WorkerFailed

CASES = [(name, asked) for name, entry in MODELS.items() for asked in ([False, True] if entry.asked else [False])]
IDS = [f"{name}-{'asked' if asked else 'default'}" for name, asked in CASES]

#: Two inputs must move an output by this many times what the gate lets pass, or they prove nothing.
MOVES = 50

#: What a saturated Sigmoid or Softmax comes nearer to 0 and 1 than.
SATURATED = 1e-4


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
        planned = layout.channels_last(program) if self.adapter.layout == "channels-last" else None
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
    return max(relative_error(outputs[name], right.outputs[name]) / allowed(right, name) for name in right.outputs)


def allowed(right: Reference, name: str) -> float:
    return max(parity.FLOOR, parity.ROUNDING_FACTOR * right.rounding[name])


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


@pytest.mark.parametrize("name", MODELS)
def test_the_inputs_exercise_the_model(name: str) -> None:
    question = answers.ask(name)
    first, second = (question.answer(answers.inputs(name, question.program, number)) for number in (0, 1))
    for output, array in first.outputs.items():
        assert numpy.isfinite(array).all(), output
        moved = relative_error(second.outputs[output], array)
        assert moved > MOVES * allowed(first, output), f"{output} hardly depends on the input"
    for output in _activations(question.program):
        array = first.outputs[output]
        assert ((array > SATURATED) & (array < 1 - SATURATED)).any(), f"{output} is saturated everywhere"


def _activations(program: Program) -> list[str]:
    """Outputs that come out of a Sigmoid or a Softmax as they are."""
    makers = {name: node.op for node in program.nodes for name in node.outputs}
    return [tensor.name for tensor in program.outputs if makers[tensor.name] in ("Sigmoid", "Softmax")]


def test_the_answers_make_sense() -> None:
    """A network that is given what it was made for says so; the reference is read, every adapter agrees with it."""
    assert _best("magika", 0, 0) != _best("magika", 0, 1)
    assert _read_text(0) == WORDS[0].replace(" ", "") and _read_text(1) == WORDS[1].replace(" ", "")
    for net, output in (("mtcnn-r", "softmax_1"), ("mtcnn-o", "softmax_2")):
        face, background = (_outputs(net, number)[output][0, 1] for number in (0, 1))
        assert face > 0.5 > background
    classes = _outputs("nudenet", 0)["output0"][0, 4:]
    assert classes.max() > 0.5
    upright, turned = (_outputs("ocr-orientation", number)["save_infer_model/scale_0.tmp_1"][0] for number in (0, 1))
    assert upright.argmax() == 0 and turned.argmax() == 1


def _outputs(name: str, number: int) -> Arrays:
    question = answers.ask(name)
    return question.answer(answers.inputs(name, question.program, number)).outputs


def _best(name: str, row: int, number: int) -> int:
    return int(next(iter(_outputs(name, number).values()))[row].argmax())


def _read_text(number: int) -> str:
    """What the recognition network reads: the likeliest character of each column, repetitions and blanks left out."""
    alphabet = {entry.key: entry.value for entry in onnx.load(MODELS["ocr-recognition"].file()).metadata_props}
    characters = ["", *alphabet["character"].splitlines(), " "]
    columns = _outputs("ocr-recognition", number)["softmax_11.tmp_0"][0].argmax(1)
    kept = [column for column, before in zip(columns, [0, *columns[:-1]], strict=True) if column != before]
    return "".join(characters[column] for column in kept).replace(" ", "")


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_agrees_with_onnx_runtime_on_the_file_as_it_is(
    name: str, adapter: AdapterSpec, site_for: Callable[[str], Site], tmp_path: Path
) -> None:
    if adapter.name != "onnxruntime":
        pytest.skip("once is enough: in ONNX Runtime's own environment")
    entry, question = MODELS[name], answers.ask(name)
    inputs = answers.inputs(name, question.program)
    settings = {name: numpy.array(value) for name, value in entry.values.items()}
    numpy.savez(tmp_path / "feeds.npz", **inputs, **settings)
    oracle, python = ADAPTERS / "onnxruntime" / "oracle.py", site_for("infer").environment.python
    files = [entry.file(), tmp_path / "feeds.npz", tmp_path / "answers.npz"]
    subprocess.run([python, oracle, *files], check=True, timeout=TIMEOUT, cwd=tmp_path)
    right = question.answer(inputs)
    with numpy.load(tmp_path / "answers.npz", allow_pickle=False) as found:
        for output in found.files:
            assert relative_error(found[output], right.outputs[output]) <= allowed(right, output), output
