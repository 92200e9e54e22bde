"""Getting started, measured: with a real uv and tiny wheels, without a network."""

import dataclasses
import platform
import sys
from datetime import date
from pathlib import Path

import pytest
from wheels import build_wheel, only_wheels, write_adapter

from harness import environments
from harness.ease import index, starting
from harness.environments import Environment, uv
from harness.live import Site

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

ENVIRONMENTS = f"""
[environments.cpu]
device = "cpu"
python = ["{HERE}"]
install = ["ease-toy==1.0", "numpy==1.1"]
needs = ["numpy<2"]
locks = ["cpu.lock"]
[environments.cpu-train]
device = "cpu"
python = ["{HERE}"]
install = ["ease-toy==1.0", "numpy==1.1"]
locks = ["cpu.lock"]
scenarios = ["train"]
"""


@pytest.fixture
def toy(tmp_path, home, monkeypatch):
    """An adapter whose framework works with the older of two numpys only, and knows it by `needs`."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    sums = {
        "ease-toy==1.0": build_wheel(wheels, "ease-toy", "1.0", "Requires-Python: >=3.11\nRequires-Dist: numpy\n"),
        "numpy==1.1": build_wheel(wheels, "numpy", "1.1"),
    }
    build_wheel(wheels, "numpy", "2.1")
    build_wheel(wheels, "protobuf", "6.0")
    adapter = write_adapter(tmp_path / "toy", '"ease-toy"', ENVIRONMENTS, '["infer", "train"]')
    lock = "".join(f"{pin} \\\n    --hash=sha256:{digest}\n" for pin, digest in sums.items())
    (adapter.folder / "cpu.lock").write_text(lock)
    only_wheels(monkeypatch, wheels)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    monkeypatch.setattr(uv, "interpreters", lambda: {HERE: uv.Interpreter(platform.python_version(), base)})
    monkeypatch.setattr(starting, "python_versions", lambda: [f"3.{number}" for number in range(8, 14)])
    return adapter


def environment_of(adapter, **changes):
    """As if it had been made."""
    made = Environment(
        adapter=adapter.name,
        name="cpu",
        device="cpu",
        python=Path(sys.executable),
        python_version=platform.python_version(),
        packages={"Ease.Toy": "1.0+slim", "numpy": "1.1"},
        bytes_on_disk=1000,
        lock="cpu.lock",
    )
    return dataclasses.replace(made, **changes)


def rows_of(adapter, environment):
    rows = list(starting.of_installation(adapter, environment))
    return {(row["metric"], row["task"]): (row["value"], row["source"]) for row in rows}


def test_getting_started_is_measured_and_no_place_is_named(toy, tmp_path):
    rows = rows_of(toy, environment_of(toy))
    size = sum(
        (tmp_path / "wheels" / f"{name}-py3-none-any.whl").stat().st_size for name in ("ease_toy-1.0", "numpy-1.1")
    )
    value, source = rows["download_bytes", "cpu"]
    assert value == size and source.startswith(f"2 wheels of cpu.lock for Python {HERE}; largest: ")
    assert "from a folder of this machine: " in source
    (cold, source), (warm, _) = rows["install_cold", "cpu"], rows["install_warm", "cpu"]
    assert cold > 0 and warm > 0 and source.startswith("2 packages of cpu.lock, uv ")
    assert source.endswith("; from a folder of this machine: ease-toy 1.0, numpy 1.1"), "this was no download"
    value, source = rows["interpreters", "cpu"]
    assert (value, source.split(":")[0]) == (3, "3.11, 3.12, 3.13")
    assert rows["platforms", "cpu"][0] == 6, "pure Python"
    assert rows["pins", "numpy"] == (1, f"numpy 1.1 with it, 2.1 without, on Python {HERE}")
    assert rows["pins", "protobuf"] == (0, f"protobuf 6.0 on Python {HERE}")
    for _, source in rows.values():
        assert "://" not in source and "/" not in source and "\\" not in source
    assert not [path for path in (tmp_path / "home").iterdir() if path.name.startswith(".installing")]


def test_a_pin_that_is_our_choice_is_not_counted_as_the_frameworks(toy):
    rows = rows_of(toy, environment_of(toy, name="cpu-train"))
    assert rows["pins", "numpy, cpu-train"] == (0, f"numpy 2.1 on Python {HERE}")


def test_a_given_interpreter_has_no_installation(toy):
    rows = rows_of(toy, environment_of(toy, name="current", lock=None))
    for metric in ("download_bytes", "install_cold", "install_warm"):
        assert rows[metric, "current"] == (None, "the interpreter was given: nothing was installed from a lock")
    assert rows["interpreters", "current"][0] == 3


def test_a_release_that_no_python_has_wheels_of(toy):
    rows = rows_of(toy, environment_of(toy, packages={"ease-toy": "9.0"}))
    assert rows["interpreters", "cpu"][0] == 0
    assert rows["platforms", "cpu"][0] is None and "not offered here" in rows["platforms", "cpu"][1]
    assert rows["pins", "numpy"][0] is None


def test_without_a_network_every_row_says_so(toy, monkeypatch):
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("UV_FIND_LINKS", "")
    monkeypatch.setenv("UV_OFFLINE", "1")
    rows = rows_of(toy, environment_of(toy))
    assert len(rows) == 7
    for value, source in rows.values():
        assert value is None and source.startswith("no network: ")


def test_a_file_that_is_not_the_locked_one_has_no_size(toy):
    lock = toy.folder / "cpu.lock"
    lock.write_text("numpy==1.1 \\\n    --hash=sha256:" + "0" * 64 + "\n")
    value, source = rows_of(toy, environment_of(toy))["download_bytes", "cpu"]
    assert value is None and source == "numpy==1.1: the size of the locked wheel is not stated"


def test_an_interpreter_that_is_gone_installs_nothing(toy, monkeypatch):
    monkeypatch.setattr(uv, "interpreters", dict)
    assert rows_of(toy, environment_of(toy))["install_cold", "cpu"] == (None, f"no Python {HERE} to install for")


def test_what_an_environment_was_when_it_was_started(toy):
    site = Site("toy", toy.folder, environment_of(toy), {"import_ns": 1_500_000_000})
    rows = {row["metric"]: row["value"] for row in starting.of_environment(site)}
    assert rows == {"packages": 2, "bytes_on_disk": 1000, "import": 1.5}


def test_pythons_are_asked_up_to_the_newest_release_that_uv_knows(monkeypatch):
    said = '[{"version": "3.16.0a2"}, {"version": "3.15.1"}, {"version": "3.9.7"}, {"version": "2.7.18"}]'
    monkeypatch.setattr(uv, "call", lambda *arguments: uv.Answer(True, said))
    assert starting.python_versions() == [f"3.{number}" for number in range(7, 16)]
    monkeypatch.setattr(uv, "call", lambda *arguments: uv.Answer(False, "error"))
    monkeypatch.setattr(uv, "interpreters", lambda: {"3.11": None, "3.9": None})
    assert starting.python_versions()[-1] == "3.11"


# The package index ---------------------------------------------------------------------------------------------------


def wheel(file, **facts):
    return index.Wheel(file, facts.get("bytes"), facts.get("uploaded"), "", False)


def test_of_several_wheels_an_installer_takes_the_most_special():
    pure = wheel("a-1-py3-none-any.whl")
    special = wheel(f"a-1-cp{HERE.replace('.', '')}-none-any.whl")
    strange = wheel("a-1-cp35-cp35m-win32.whl")
    assert index.best([pure, special, strange], HERE) is special
    assert index.best([strange], HERE) is None


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("manylinux_2_27_x86_64.manylinux2014_x86_64", ["Linux x86_64"]),
        ("manylinux1_i686", ["Linux i686"]),
        ("linux_aarch64", ["Linux aarch64"]),
        ("musllinux_1_2_aarch64", ["Linux aarch64 (musl)"]),
        ("macosx_14_0_arm64", ["macOS arm64"]),
        ("macosx_10_9_universal2", ["macOS arm64", "macOS x86_64"]),
        ("win_amd64", ["Windows x86_64"]),
        ("win_arm64", ["Windows arm64"]),
        ("something_new", ["something_new"]),
    ],
)
def test_platforms_are_read_from_file_names(tag, words):
    assert index.platforms([wheel(f"a-1-cp39-cp39-{tag}.whl")]) == words


def test_a_release_is_as_old_as_its_first_upload():
    days = [date(2026, 5, 2), None, date(2026, 5, 1)]
    package = index.Package("a", "1", tuple(wheel("a-1-py3-none-any.whl", uploaded=day) for day in days))
    assert index.released(package) == date(2026, 5, 1)
    assert index.released(index.Package("a", "1", ())) is None


LOCK = """
[[packages]]
name = "a"
version = "1.0+cpu"
[[packages.wheels]]
url = "https://index.example/a-1.0%2Bcpu-py3-none-any.whl"
upload-time = 2026-07-08T23:30:00-02:00
size = 12
hashes = { sha256 = "00" }
"""


def test_what_the_index_states_of_a_wheel_is_read(monkeypatch):
    def call(*arguments, **keywords):
        Path(arguments[-1]).write_text(LOCK)
        return uv.Answer(True, "")

    monkeypatch.setattr(uv, "call", call)
    found = index.resolve(["a"], "3.11")
    assert found.packages["a"].wheels == (index.Wheel("a-1.0+cpu-py3-none-any.whl", 12, date(2026, 7, 9), "00", False),)
    assert index.public(found.packages["a"].version) == "1.0" and found.answered


def test_that_there_is_no_solution_is_an_answer_and_a_missing_network_is_none():
    assert index.Resolution(problem="x", output="error: No solution found when resolving").answered
    assert not index.Resolution(problem="x", output="cause: dns error").answered
    assert not index.Resolution(problem="x", output="No solution found; the network was disabled").answered


def test_the_steps_of_an_installation_are_those_of_making_environments(toy, monkeypatch):
    """Otherwise seconds of an installation would not be those of an environment."""
    calls = []
    real = uv.call

    def call(*arguments, **keywords):
        calls.append([str(one) for one in arguments if not str(one).startswith("/")])
        return real(*arguments, **keywords)

    monkeypatch.setattr(uv, "call", call)
    starting._install_seconds(toy, environment_of(toy))
    measured = [one for one in calls if one[0] in ("venv", "pip")][:2]
    calls.clear()
    environments.ensure(dataclasses.replace(toy, module="ease_toy"), "cpu")
    assert [one for one in calls if one[0] in ("venv", "pip")] == measured
