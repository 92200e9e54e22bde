"""What is read off a program's text."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
import token
from pathlib import Path

import pytest

from harness.ease import source

ROOT = Path(__file__).parent.parent

PROGRAM = '''"""A docstring
of two lines."""

import numpy
import torch.nn.functional as F
from torch import nn

# A comment.


class Net(nn.Module):
    """Another."""

    def forward(self, x):
        self.kept = F.relu(x)
        return self.kept.detach()


net = Net()
losses = []
for step in range(3):
    losses.append(net(numpy.zeros(3)).sum())
    if step and losses:
        print(f"{step} of {3}")
'''


def measured() -> dict[str, float]:
    return source.measure(PROGRAM)


def test_lines_are_counted_without_blanks_comments_and_docstrings() -> None:
    assert measured()["lines"] == 13


def test_statements_are_counted_without_docstrings() -> None:
    assert measured()["statements"] == 13


def test_what_has_to_be_known_of_a_framework_is_neither_numpys_nor_pythons_nor_the_programs_own() -> None:
    found = source.api_names(ast.parse(PROGRAM))
    assert found == {"torch.nn.functional.relu", "torch.nn.Module", ".detach", ".sum"}


def test_imports_are_distinct_modules() -> None:
    assert measured()["imports"] == 3


def test_complexity_counts_decisions_and_functions() -> None:
    assert measured()["complexity"] == source.measure(PROGRAM.replace(" and losses", ""))["complexity"] + 1


def test_halsteads_effort_follows_his_formula() -> None:
    tokens = [(token.NAME, "a"), (token.OP, "="), (token.NAME, "a"), (token.OP, "+"), (token.NUMBER, "1")]
    assert source.halstead_effort(tokens) == pytest.approx(2 / 2 * 3 / 2 * 5 * math.log2(4))


def test_a_concept_counts_once_however_often_it_is_named() -> None:
    assert source.concepts(["Session", "InferenceSession", "GradientTape"]) == {"session", "tape"}


def test_a_class_of_the_programs_own_is_no_concept_of_the_framework() -> None:
    assert source.measure("class Net:\n    pass\n\n\nnet = Net()\n")["concepts"] == 0


def test_devices_are_counted_in_strings_too() -> None:
    text = 'import torch\nx = torch.zeros(3, device="cuda")\n'
    assert source.measure(text)["device_mentions"] == 2


def test_an_f_string_is_one_token_whatever_python_counts() -> None:
    assert source.measure('print(f"{a} b")\n')["tokens"] == 4


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_another_python_counts_the_same(version: str) -> None:
    import shutil

    python = shutil.which(f"python{version}")
    if python is None:
        pytest.skip(f"no Python {version} here")
    code = (
        f"import sys; sys.path += {[path for path in sys.path if 'site-packages' in path]!r}\n"
        f"import runpy; print(runpy.run_path('harness/ease/source.py')['measure']({PROGRAM!r}))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == str(measured()), done.stderr
