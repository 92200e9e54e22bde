"""Planted mistakes: how they are made, and rules tested on messages whose answer is known."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.adapters import AdapterSpec, find_adapter
from harness.ease import mistakes
from harness.ease.mistakes import Diagnosis, Seen
from harness.ease.processes import Ended
from harness.environments import Environment

FILE = Path("/somewhere/rosetta/mistakes.py")

MADE = """
import ctypes
import os
import warnings

CANNOT = {"wrong_device": "there are no devices"}


def _layer(x):
    raise TypeError(f"linear: expected 13 inputs, got {len(x)}")


def wrong_input_shape():
    x = [0] * 17
    yield
    _layer(x)  # planted


def mismatched_matmul():
    raise ValueError("shapes do not fit")  # planted
    yield


def double_softmax():
    yield


def broadcast_target():
    yield
    warnings.warn("the target (5,) is broadcast to (5, 1)")  # planted


def training_mode():
    yield
    warnings.warn("something else altogether")  # planted


def float64_input():
    yield
    return [1.0, 2.0], [1.0, 2.0000001]


def integer_input():
    yield
    return [1.0, 2.0], [1.0, 2.1]


def corrupt_checkpoint():
    yield
    yield
    os.write(2, b"error: checksum\\n")
    os.kill(os.getpid(), 11)  # planted
"""


def told(name: str, message: str) -> Diagnosis:
    """What the rules say of an exception with this message, raised in the user's line 7."""
    seen = Seen("first run", "RuntimeError", message, f"RuntimeError: {message}", [(str(FILE), 7), ("/lib/a.py", 3)])
    return mistakes.judge("some", mistakes.read()[name], seen, FILE, 7)


@pytest.fixture
def diagnosed(tmp_path: Path) -> dict[str, Diagnosis]:
    folder = tmp_path / "plain" / "rosetta"
    folder.mkdir(parents=True)
    (folder / "mistakes.py").write_text(MADE)
    adapter: AdapterSpec = replace(find_adapter("null"), name="plain", folder=folder.parent)
    here = Environment("plain", "current", "cpu", Path(sys.executable), platform.python_version(), {}, 0)
    places = {"infer": here, "train": here}
    return {one.mistake: one for one in mistakes.run_all(adapter, places, tmp_path / "scratch", 60)}


def test_there_are_twenty_mistakes_each_with_an_assignment() -> None:
    assert len(mistakes.read()) == 20
    assert all(one.about.endswith(".") for one in mistakes.read().values())


def test_the_moment_is_that_at_which_the_exception_was_raised(diagnosed: dict[str, Diagnosis]) -> None:
    assert diagnosed["mismatched_matmul"].moment == "build"
    assert diagnosed["wrong_input_shape"].moment == "first run"
    assert diagnosed["corrupt_checkpoint"].moment == "later"
    assert diagnosed["double_softmax"].moment == "never"


def test_an_exception_is_caught_and_its_frames_are_counted_without_those_of_the_harness(
    diagnosed: dict[str, Diagnosis],
) -> None:
    seen = diagnosed["wrong_input_shape"]
    assert (seen.way, seen.frames, seen.user_frames) == ("exception", 2, 2)
    assert (seen.names_operator, seen.names_shapes, seen.names_line) == (True, True, True)
    assert "kit/mistakes.py" not in seen.traceback


def test_a_warning_that_is_about_the_mistake_catches_it_and_another_does_not(diagnosed: dict[str, Diagnosis]) -> None:
    assert diagnosed["broadcast_target"].way == "warning"
    assert diagnosed["broadcast_target"].moment == "first run"
    assert diagnosed["broadcast_target"].names_line
    assert diagnosed["training_mode"].way == "silence"
    assert not diagnosed["training_mode"].caught


def test_a_process_that_dies_is_caught_by_its_death_and_judged_by_what_it_printed(
    diagnosed: dict[str, Diagnosis],
) -> None:
    seen = diagnosed["corrupt_checkpoint"]
    assert (seen.way, seen.names_operator, seen.names_line) == ("death", True, False)
    assert "SIGSEGV" in seen.traceback


def test_what_cannot_be_made_says_why_and_what_is_not_there_is_not_taken_for_it(
    diagnosed: dict[str, Diagnosis],
) -> None:
    assert (diagnosed["wrong_device"].way, diagnosed["wrong_device"].reason) == ("cannot", "there are no devices")
    assert diagnosed["nan_loss"].way == "unwritten"


def test_what_is_taken_as_it_was_meant_is_no_mistake_and_what_comes_out_otherwise_is_silence(
    diagnosed: dict[str, Diagnosis],
) -> None:
    assert diagnosed["float64_input"].way == "taken as meant"
    assert not diagnosed["float64_input"].is_mistake
    assert diagnosed["integer_input"].way == "silence"


@pytest.mark.parametrize(
    ("mistake", "message", "operator", "shapes"),
    [
        ("wrong_input_shape", "mat1 and mat2 shapes cannot be multiplied (5x17 and 13x7)", True, True),
        ("wrong_input_shape", "Check failed: shape mismatch", False, False),
        ("wrong_input_shape", "linear got 170 features", True, False),
        ("label_out_of_range", "Target 23 is out of bounds.", True, False),
        ("label_out_of_range", "Received a label value of 23 which is outside the valid range of [0, 11).", True, True),
        ("float64_input", "mat1 and mat2 must have the same dtype, but got Double and Float", True, True),
        ("missing_input", "forward() missing 1 required positional argument: 'right'", True, None),
        ("missing_input", "expected 2 inputs, got 1", False, None),
        ("wrong_layout", "Got invalid dimensions for input: image index: 1 Got: 19 Expected: 3", True, True),
        ("broadcast_target", "Invalid rank for input: target Got: 1 Expected: 2", True, True),
        ("corrupt_checkpoint", "[Errno 22] Invalid argument", False, None),
        ("corrupt_checkpoint", "failed reading zip archive: failed finding central directory", True, None),
        ("wrong_layout", "expected input[1, 19, 19, 3] to have 3 channels, but got 19 channels", True, True),
        ("float64_input", "Incompatible attr in node  at 1-th input: expected float64, got float32", False, True),
        ("index_out_of_range", "index out of range in self", True, False),
        ("index_out_of_range", "indices[0] = 31 is not in [0, 29)", True, True),
        ("misspelt_option", "__init__() got an unexpected keyword argument 'strdie'", True, None),
        ("nan_loss", "Tensor had -Inf and NaN values", True, None),
    ],
)
def test_the_rules_judge_messages_as_a_fair_reader_would(
    mistake: str, message: str, operator: bool, shapes: bool | None
) -> None:
    seen = told(mistake, message)
    assert (seen.names_operator, seen.names_shapes) == (operator, shapes)


def test_the_line_is_named_by_a_frame_or_by_the_message_and_not_by_another_line_of_the_file() -> None:
    assert told("missing_input", "x").names_line
    mistake = mistakes.read()["missing_input"]
    elsewhere = Seen("first run", "Error", "x", 'Error: node defined at File "mistakes.py", line 7', [(str(FILE), 9)])
    assert mistakes.judge("some", mistake, elsewhere, FILE, 7).names_line
    assert not mistakes.judge("some", mistake, elsewhere, FILE, 70).names_line


def test_what_is_printed_in_the_moment_of_an_exception_is_part_of_it_and_what_was_printed_before_is_not() -> None:
    printed = 'import: right\n\x1ebuild\nright?\n\x1efirst run\nblob left, File "mistakes.py", line 7\n'
    seen = Seen("first run", "RuntimeError", "no such blob", "RuntimeError: no such blob", [], ended=Ended(0, printed))
    told = mistakes.judge("some", mistakes.read()["missing_input"], seen, FILE, 7)
    assert (told.names_operator, told.names_line, told.lines) == (False, True, 2)


def test_lines_that_only_mark_a_place_do_not_make_a_traceback_longer() -> None:
    text = 'Traceback:\n  File "a.py", line 1\n    f(x)\n    ~^^^\nValueError: no'
    seen = Seen("first run", "ValueError", "no", text, [])
    assert mistakes.judge("some", mistakes.read()["nan_loss"], seen, FILE, 1).lines == 4


def test_a_notice_that_is_printed_without_any_word_of_warning_is_silence() -> None:
    quiet = Seen("never", ended=Ended(0, "dropout layers: 1\n"))
    warned = Seen("never", ended=Ended(0, "Warning: dropout is on\n\x1efirst run\n"))
    mistake = mistakes.read()["training_mode"]
    assert mistakes.judge("some", mistake, quiet, FILE, 1).way == "silence"
    seen = mistakes.judge("some", mistake, warned, FILE, 1)
    assert (seen.way, seen.moment) == ("warning", "build")
