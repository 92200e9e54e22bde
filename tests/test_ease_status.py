"""Status: dates from the package index, Pythons and licence from metadata, lineage from adapter.toml."""

import dataclasses
import platform
import sys
from datetime import date
from pathlib import Path

import pytest
from wheels import write_adapter

from harness.adapters import find_adapter
from harness.ease import index, status
from harness.environments import Environment, uv

TODAY = date(2026, 11, 24)

ENVIRONMENTS = """
[environments.cpu]
device = "cpu"
python = ["3.11"]
install = ["toy-net==1.0"]
locks = ["cpu.lock"]
"""


class Index:
    """Answers as the resolver would: the newest version for each Python, and the day that each was uploaded on."""

    def __init__(self):
        self.newest = {"3.9": "1.0", "3.10": "1.10", "3.11": "1.9"}
        self.days = {"1.0": date(2025, 11, 24), "1.9": date(2026, 10, 25), "1.10": date(2026, 11, 14)}
        self.problem = ""
        self.output = "No solution found"

    def resolve(self, requirements, python, **options):
        name, _, version = requirements[0].partition("==")
        if not version:
            assert options["stable"], "a pre-release is no newest release"
            version = self.newest.get(python, "")
        if self.problem or not version:
            return index.Resolution(problem=self.problem or "no wheel", output=self.output)
        wheel = index.Wheel(f"x-{version}-py3-none-any.whl", 1, self.days.get(version), "", False)
        local = dataclasses.replace(wheel, uploaded=None)
        builds = (index.Package(name, f"{version}+cpu", (local,)), index.Package(name, version, (wheel,)))
        return index.Resolution(builds)


@pytest.fixture
def offered(monkeypatch):
    fake = Index()
    monkeypatch.setattr(index, "resolve", fake.resolve)
    monkeypatch.setattr(status, "python_versions", lambda: ["3.8", "3.9", "3.10", "3.11"])
    return fake


@pytest.fixture
def toy(tmp_path):
    return write_adapter(tmp_path / "toy", '"toy-net"', ENVIRONMENTS)


def environment_of(adapter, packages, python=sys.executable):
    version = platform.python_version()
    return Environment(adapter.name, "cpu", "cpu", Path(python), version, packages, 0, lock="cpu.lock")


def rows_of(adapter, environment):
    rows = {row["metric"]: row for row in status.of(adapter, environment, TODAY)}
    assert {metric: row["task"] for metric, row in rows.items()} == {
        **dict.fromkeys(("release_age", "newest_release_age", "requires_python", "licence"), "cpu"),
        "first_release": "",
    }
    return {metric: (row["value"], row["source"]) for metric, row in rows.items()}


def test_ages_are_counted_from_uploads_to_the_day_of_the_run(toy, offered):
    rows = rows_of(toy, environment_of(toy, {"toy_net": "1.0+cpu"}))
    assert rows["release_age"] == (365, "toy-net 1.0, uploaded on 2025-11-24")
    assert rows["newest_release_age"] == (10, "toy-net 1.10, uploaded on 2026-11-14")
    assert rows["first_release"] == (2020, "none, a test, active")


def test_an_index_that_does_not_say_when(toy, offered):
    offered.days = {}
    rows = rows_of(toy, environment_of(toy, {"toy-net": "1.0"}))
    assert rows["release_age"] == (None, "the package index does not say when toy-net 1.0 was uploaded")


def test_without_a_network_there_are_no_ages(toy, offered):
    offered.problem, offered.output = "no network: the package index cannot be reached", "dns error"
    rows = rows_of(toy, environment_of(toy, {"toy-net": "1.0"}))
    assert rows["release_age"] == rows["newest_release_age"] == (None, offered.problem)
    assert rows["first_release"][0] == 2020


def test_releases_of_anothers_package_say_nothing_of_a_framework_in_it(offered):
    caffe2 = find_adapter("caffe2")
    environment = environment_of(caffe2, {"torch": "1.0"})
    rows = rows_of(caffe2, environment)
    value, source = rows["newest_release_age"]
    assert value == 365 and source.endswith("torch is PyTorch's package: its newer releases say nothing of Caffe2")
    alive = dataclasses.replace(caffe2, lineage=dataclasses.replace(caffe2.lineage, status="active"))
    assert rows_of(alive, environment)["newest_release_age"][0] is None
    torch = find_adapter("torch")
    assert rows_of(torch, environment_of(torch, {"torch": "1.0"}))["newest_release_age"][0] == 10


def test_metadata_is_asked_of_the_environments_interpreter(offered):
    null = find_adapter("null")
    rows = rows_of(null, environment_of(null, {"numpy": "1.0"}))
    assert rows["requires_python"][0] >= 9 and "Requires-Python >=3." in rows["requires_python"][1]
    assert rows["licence"][0] == 1 and "BSD" in rows["licence"][1]
    nothing = rows_of(null, environment_of(null, {"numpy": "1.0"}, "/nowhere/python"))
    assert nothing["requires_python"] == (None, "numpy 1.0 states no Requires-Python")
    assert nothing["licence"] == (0, "numpy 1.0 names no licence in its metadata")


def test_interpreters_of_every_age_tell_their_metadata(tmp_path):
    for version, interpreter in uv.interpreters().items():
        if tuple(map(int, version.split("."))) >= (3, 7):
            found = status.metadata(interpreter.path, "pip") or [("Name", "pip")]
            assert ("Name", "pip") in found, version


@pytest.mark.parametrize(
    ("stated", "least"), [(">=3.10", 10), (">=3.6.2", 6), ("<4,>=3.8", 8), (">=2.7,!=3.0.*,!=3.1.*", 2), ("soon", None)]
)
def test_the_least_python_is_a_minor_version(stated, least):
    value, source = status._required([("Requires-Python", stated)], "a 1")
    assert value == least and source == f"a 1: Requires-Python {stated}"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("License", "BSD"), ("License-Expression", "MIT")], (1, "a 1: MIT")),
        ([("License", "Apache 2.0")], (1, "a 1: Apache 2.0")),
        (
            [("License", "long " * 99), ("Classifier", "License :: OSI Approved :: BSD License")],
            (1, "a 1: BSD License"),
        ),
        ([("License", "UNKNOWN"), ("Classifier", "License :: Public Domain")], (1, "a 1: Public Domain")),
        ([("Classifier", "Topic :: Science")], (0, "a 1 names no licence in its metadata")),
    ],
)
def test_a_licence_is_named_in_one_of_three_places(headers, expected):
    assert status._licence(headers, "a 1") == expected
