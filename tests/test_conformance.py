"""The conformance board, with specimens for frameworks: only a right answer counts, and a bad case costs itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy
import pandas
import pytest
from conftest import SPECIMENS
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.conformance import cases, light_random
from harness.conformance.answers import objection
from harness.kit import Tensor


def play(folder: Path, *adapters: str, match: str = "relu", more: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness", "conformance", *adapters, "--match", match, "--groups", "node"]
    command += ["--out", "runs/board", "--timeout", "3", "--adapter-path", str(SPECIMENS), *more]
    command += [f"--env={name}=current" for name in adapters]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """One board of a good specimen and of bad ones."""
    folder = tmp_path_factory.mktemp("board")
    done = play(folder, "honest", "wrong", "crashing", "hanging", match="relu,cos,shape_example,flatten_axis1")
    return folder / "runs" / "board", done


@pytest.fixture(scope="module")
def board(played: tuple[Path, subprocess.CompletedProcess]) -> pandas.DataFrame:
    return harness.load(played[0]).conformance.set_index(["adapter", "case"])


def test_a_right_answer_passes_by_the_adapters_own_function(board: pandas.DataFrame) -> None:
    row = board.loc["honest", "test_relu"]
    assert (row.outcome, row.operator, row.road) == ("pass", "Relu", "own function")


def test_a_wrong_answer_is_shown_and_ends_with_exit_code_1(played: tuple, board: pandas.DataFrame) -> None:
    folder, done = played
    assert done.returncode == 1
    row = board.loc["wrong", "test_relu"]
    assert row.outcome == "wrong"
    assert "elements differ" in row.reason
    assert "Wrong answers" in (folder / "board.html").read_text()


def test_an_operator_that_an_adapter_lacks_is_unsupported_by_name(board: pandas.DataFrame) -> None:
    row = board.loc["honest", "test_cos"]
    assert (row.outcome, row.refused) == ("unsupported", "Cos")


def test_cases_that_crash_or_hang_their_worker_cost_only_themselves(board: pandas.DataFrame) -> None:
    assert sorted(board.loc["crashing"].outcome) == ["crash", "crash", "crash", "folded"]
    assert sorted(board.loc["hanging"].outcome) == ["folded", "timeout", "timeout", "timeout"]
    assert board.loc["crashing", "test_relu"].reason.endswith("SIGSEGV")


def test_a_case_that_folds_away_does_not_count_as_a_pass(played: tuple, board: pandas.DataFrame) -> None:
    assert board.loc["honest", "test_shape_example"].outcome == "folded"
    assert "| node | 0 / 4 | 0 / 4 | 2 / 4 | 0 / 4 |" in (played[0] / "board.md").read_text()


def test_a_board_is_kept_as_parquet_and_csv(played: tuple, board: pandas.DataFrame) -> None:
    folder, _ = played
    assert len(pandas.read_parquet(folder / "conformance.parquet")) == len(board)
    assert len(pandas.read_csv(folder / "conformance.csv")) == len(board)
    assert not (folder / "report.html").exists()


def test_a_board_with_nothing_wrong_ends_with_exit_code_0(tmp_path: Path) -> None:
    done = play(tmp_path, "honest")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(["--groups", "nod"], "node"), (["--modes", "eager"], "plain"), (["--match", "no-such-case"], "no case")],
)
def test_bad_input_is_exit_code_2_and_names_what_there_is(tmp_path: Path, arguments: list[str], what: str) -> None:
    done = play(tmp_path, "honest", more=tuple(arguments))
    assert done.returncode == 2
    assert what in done.stderr.lower()


def test_the_board_has_the_cases_that_onnx_ships() -> None:
    counts = {group: len(cases.collect([group])) for group in ("node", "simple", "pytorch-operator", "light")}
    assert counts["node"] >= 1500
    assert (counts["simple"], counts["pytorch-operator"], counts["light"]) == (23, 35, 9)


def test_an_expanded_case_is_about_the_operator_that_it_expands() -> None:
    found = {case.name: case.operator for case in cases.collect(["node"], "*softmax_axis_0*")}
    assert found["test_softmax_axis_0_expanded"] == "Softmax"


def test_random_weights_replace_every_constant_of_a_light_model() -> None:
    model = light_random.randomised(next(f for f in cases.light_files() if "squeezenet" in f.name))
    assert not any(node.op_type == "ConstantOfShape" for node in model.graph.node)
    again = light_random.randomised(next(f for f in cases.light_files() if "squeezenet" in f.name))
    assert model.SerializeToString() == again.SerializeToString()


# Judging answers


def judged(got: numpy.ndarray, right: numpy.ndarray, rtol: float = 1e-3, atol: float = 1e-7) -> str:
    return objection({"y": got}, (Tensor("y", got.dtype.name, got.shape),), [right], rtol, atol)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8), st.integers(0, 7))
def test_an_answer_is_right_up_to_its_tolerance_and_no_further(values: list[float], place: int) -> None:
    right = numpy.array(values, "f4")
    place %= len(values)
    near, far = right.copy(), right.copy()
    near[place] += 0.5 * (1e-3 * abs(right[place]) + 1e-7)
    far[place] += 1.5 * (1e-3 * abs(right[place]) + 1e-6)
    assert judged(near, right) == ""
    assert "1 of" in judged(far, right)


def test_another_dtype_or_shape_is_wrong_even_with_the_same_values() -> None:
    right = numpy.ones(3, "f4")
    assert "dtype" in judged(numpy.ones(3, "f8"), right)
    assert "shape" in judged(numpy.ones((1, 3), "f4"), right)
    assert "missing" in objection({}, (Tensor("y", "float32", (3,)),), [right], 1e-3, 1e-7)


def test_not_a_number_is_right_only_where_it_should_be() -> None:
    right = numpy.array([1.0, numpy.nan], "f4")
    assert judged(right.copy(), right) == ""
    assert judged(numpy.array([numpy.nan, numpy.nan], "f4"), right) != ""
    assert judged(numpy.array([1.0, 2.0], "f4"), right) != ""
