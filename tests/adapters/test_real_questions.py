"""What real models are asked proves something, and the reference answers it as ONNX Runtime does.

No adapter is tested here: this runs once, where there is an environment with ONNX Runtime.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy
import onnx
import pytest
from conftest import TIMEOUT
from real_models import answers
from real_models.catalogue import MODELS, WORDS

from harness.kit import Program
from harness.live import Site
from harness.paths import ADAPTERS
from harness.spec.reference import Arrays, relative_error

#: Two inputs must move an output by this many times what the gate lets pass, or they prove nothing.
MOVES = 50

#: What a saturated Sigmoid or Softmax comes nearer to 0 and 1 than.
SATURATED = 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_the_inputs_exercise_the_model(name: str) -> None:
    question = answers.ask(name)
    first, second = (question.answer(answers.inputs(name, question.program, number)) for number in (0, 1))
    for output, array in first.outputs.items():
        assert numpy.isfinite(array).all(), output
        moved = relative_error(second.outputs[output], array)
        assert moved > MOVES * answers.allowed(first, output), f"{output} hardly depends on the input"
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
    name: str, site_for: Callable[[str], Site], tmp_path: Path
) -> None:
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
            assert relative_error(found[output], right.outputs[output]) <= answers.allowed(right, output), output
