"""What an adapter needed: sizes, roads of operators, workarounds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.ease import effort
from harness.ease.metrics import Row
from harness.errors import HarnessError
from harness.journal import Journal

OPS = '''"""Operators."""


def Relu(x):
    return x


def _helper(x):
    # workaround: the framework's Relu forgets its sign
    # for negative zero
    return -x
'''

HELPERS = """class Network:
    def infer(self):
        return 1  # workaround: not a line of its own


# workaround: a second one
LIMIT = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "native").mkdir()
    (tmp_path / "ops.py").write_text(OPS)
    (tmp_path / "adapter.py").write_text(HELPERS)
    (tmp_path / "native" / "lenet5.py").write_text("x = 1\n")
    return tmp_path


@pytest.fixture
def board(tmp_path: Path) -> Path:
    cases = [
        ("Relu", "test_relu", "pass", "own function"),
        ("Gelu", "test_gelu", "pass", "function body"),
        ("Gelu", "test_gelu_expanded", "pass", "own function"),
        ("Selu", "test_selu", "wrong", "own function"),
        ("Adam", "test_adam", "pass", "rule"),
        ("Adam", "test_adam_twice", "unsupported", ""),
    ]
    with Journal.create(tmp_path / "reports" / "board") as journal:
        journal.append("run", name="board")
        for operator, case, outcome, road in cases:
            about = {"adapter": "some", "framework_version": "1.2", "device": "cpu", "mode": "eager", "group": "node"}
            journal.append("conformance", **about, operator=operator, case=case, outcome=outcome, road=road, seconds=0)
    return tmp_path / "reports"


def values(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    return {(row["metric"], row["task"]): row["value"] for row in rows}


def test_the_operator_table_is_the_modules_that_define_an_onnx_operator(folder: Path) -> None:
    found = values(effort.of_adapter("some", folder))
    assert found["adapter_lines", ""] == 4 + 4
    assert found["operator_lines", ""] == 4
    assert found["operator_functions", ""] == 2
    assert found["adapter_functions", ""] == 3


def test_the_sizes_of_its_parts_are_counted_apart(folder: Path) -> None:
    assert effort.sizes(folder) == {"module": 8, "operator table": 4, "native": 1, "rosetta": 0}


def test_workarounds_are_counted_and_listed_with_their_whole_reason(folder: Path) -> None:
    found = effort.workarounds(folder)
    assert [(one.file, one.line, one.reason) for one in found] == [
        ("adapter.py", 6, "a second one"),
        ("ops.py", 9, "the framework's Relu forgets its sign for negative zero"),
    ]


def test_an_operator_counts_once_by_its_shortest_road_and_its_function_body_is_no_operator(board: Path) -> None:
    found = values(effort.of_board("some", board / "board"))
    assert found == {
        ("operators", "own function"): 1,
        ("operators", "function body"): 1,
        ("operators", "rule"): 1,
        ("operators", "missing"): 1,
    }


def test_the_newest_board_is_found_beside_other_runs(board: Path) -> None:
    with Journal.create(board / "later") as journal:
        journal.append("run", name="later")
    (board / "damaged").mkdir()
    (board / "damaged" / "journal.jsonl").write_text("{nothing\n{}\n")
    assert effort.newest_board(board) == board / "board"


def test_without_a_board_the_row_says_how_to_make_one(tmp_path: Path) -> None:
    (row,) = effort.of_board("some", effort.newest_board(tmp_path))
    assert row["value"] is None
    assert "harness conformance" in row["source"]


def test_a_board_without_the_adapter_is_no_board_of_it(board: Path) -> None:
    (row,) = effort.of_board("other", board / "board")
    assert row["value"] is None
    with pytest.raises(HarnessError):
        list(effort.of_board("other", board / "nowhere"))
