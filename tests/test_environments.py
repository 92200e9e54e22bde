"""Environments, with a real uv, without a network: from a tiny wheel that the test builds."""

import dataclasses
import hashlib
import json
import platform
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import devices, environments
from harness.adapters import find_adapter, read_adapter
from harness.commands.env import app
from harness.devices import Devices, Gpu
from harness.environments import EnvironmentFailed, locking, making, uv
from harness.errors import HarnessError

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"

#: The interpreter that the tests run on, outside any venv.
BASE = Path(getattr(sys, "_base_executable", sys.executable))

TOML = """
interface = 1
title = "Toy"
package = "harness-toy"
module = "harness_toy"
[lineage]
origin = "none"
by = "a test"
first_release = 2020
status = "active"
[execution]
layout = "channels-first"
modes = ["eager"]
precisions = ["fp32"]
scenarios = ["infer"]
[environments.cpu]
device = "cpu"
python = [PYTHON]
install = ["harness-toy==1.0"]
locks = ["first.lock", "second.lock"]
variables = { TOY = "{libraries}" }
[environments.cpu.install_for]
"first.lock" = ["harness-toy==1.0"]
[environments.cuda]
device = "cuda"
python = [PYTHON]
install = ["harness-toy==1.0"]
locks = ["second.lock"]
cuda = "13.0"
gpu_architectures = ["sm_90"]
"""


def build_wheel(folder, version="1.0"):
    """A wheel with one module and a library where NVIDIA's packages keep theirs; its sha256."""
    name = f"harness_toy-{version}"
    files = {
        "harness_toy/__init__.py": f"__version__ = {version!r}\n",
        "nvidia/toy/lib/libtoy.so": "not a library",
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: harness-toy\nVersion: {version}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{name}.dist-info/RECORD"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
        wheel.writestr(record, "".join(f"{file},,\n" for file in [*files, record]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Toy:
    """An adapter in a folder of its own, wheels in another, everything that is made in a third."""

    def __init__(self, folder: Path):
        self.wheels, self.home, self.folder = folder / "wheels", folder / "home", folder / "toy"
        self.wheels.mkdir()
        self.folder.mkdir()
        self.sha256 = build_wheel(self.wheels)
        self.describe(HERE)
        self.lock("first.lock")
        self.lock("second.lock")

    def describe(self, python):
        (self.folder / "adapter.toml").write_text(TOML.replace("PYTHON", f'"{python}"'))

    def lock(self, name, version="1.0", sha256=None):
        text = f"harness-toy=={version} \\\n    --hash=sha256:{sha256 or self.sha256}\n"
        (self.folder / name).write_text(text)

    @property
    def spec(self):
        return read_adapter(self.folder)

    def left_over(self):
        """What lies among the environments, less notes."""
        return sorted(path.name for path in (self.home / "environments").glob("*toy-*"))


@pytest.fixture
def toy(tmp_path, monkeypatch):
    made = Toy(tmp_path)
    monkeypatch.setenv("HARNESS_HOME", str(made.home))
    monkeypatch.setenv("UV_FIND_LINKS", str(made.wheels))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    # Looking for interpreters takes uv a while; test_every_python_that_is_here_answers does it for all.
    monkeypatch.setattr(uv, "interpreters", lambda: {HERE: uv.Interpreter(platform.python_version(), BASE)})
    return made


def test_an_environment_is_made_once_and_says_what_it_is(toy):
    said = []
    made = environments.ensure(toy.spec, "cpu", "infer", said.append)
    assert made.freshly_made and said == ["making the cpu environment of Toy"]
    assert made.packages == {"harness-toy": "1.0"} and made.lock == "first.lock"
    assert made.python_version.startswith(HERE + ".") and made.install_seconds > 0 and made.bytes_on_disk > 30
    assert made.variables["TOY"].endswith("nvidia/toy/lib") and Path(made.variables["TOY"]).is_dir()
    assert environments.inspect(made.python, ("harness_toy", "torch")).modules == ("harness_toy",)
    assert list(made.python.parents[1].rglob("harness_toy/__pycache__/*.pyc")), "bytecode is compiled when it is made"
    again = environments.ensure(toy.spec, "cpu", "coldstart", said.append)
    assert again == dataclasses.replace(made, freshly_made=False) and len(said) == 1
    assert toy.left_over() == [made.python.parents[1].name]


def test_a_lock_that_cannot_be_had_is_passed_over(toy):
    toy.lock("first.lock", version="1.0+slim")
    made = environments.ensure(toy.spec, "cpu")
    assert made.lock == "second.lock"
    assert made.notes == ("first.lock was passed over: harness-toy==1.0+slim is not offered here",)


def test_a_file_that_is_not_the_locked_one_is_refused(toy):
    for lock in ("first.lock", "second.lock"):
        toy.lock(lock, sha256="0" * 64)
    with pytest.raises(EnvironmentFailed) as caught:
        environments.ensure(toy.spec, "cpu")
    assert "harness-toy" in caught.value.reason and len(caught.value.reason) < 100
    assert caught.value.log.read_text().count("$ uv pip sync") == 2 and str(caught.value.log) in caught.value.advice
    assert toy.left_over() == []
    (row, _) = environments.listing([toy.spec])
    assert row.state == "absent" and row.reason.startswith("the last try failed: ")


def test_an_interrupted_installation_is_never_taken_for_a_whole_one(toy, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(making, "inspect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environments.ensure(toy.spec, "cpu")
    made = environments.ensure(toy.spec, "cpu")
    assert made.freshly_made
    folder = made.python.parents[1]
    (folder / making.RECORD).unlink()  # as after a kill in the middle of making it under its last name
    (folder.with_name(f".making-{folder.name}.1") / "bin").mkdir(parents=True)
    assert [row.state for row in environments.listing([toy.spec], "cpu")] == ["absent", "stale", "stale"]
    assert environments.ensure(toy.spec, "cpu").freshly_made
    assert toy.left_over() == [folder.name]


def test_two_that_want_the_same_environment_make_it_once(toy):
    made = []
    threads = [threading.Thread(target=lambda: made.append(environments.ensure(toy.spec, "cpu"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.freshly_made for one in made) == [False, False, True]


def test_no_such_python(toy):
    toy.describe("3.99")
    with pytest.raises(EnvironmentFailed) as caught:
        environments.ensure(toy.spec, "cpu")
    assert caught.value.reason.startswith("needs Python 3.99; here: ") and HERE in caught.value.reason
    assert "uv python install 3.99" in caught.value.advice
    (row, _) = environments.listing([toy.spec])
    assert row.state == "impossible" and row.reason.startswith("needs Python 3.99")


def test_a_full_disk_ends_the_tries(toy, monkeypatch):
    monkeypatch.setattr(uv, "call", lambda *a, **k: calls.append(a) or uv.Answer(False, "No space left on device"))
    calls = []
    with pytest.raises(EnvironmentFailed) as caught:
        environments.ensure(toy.spec, "cpu")
    assert caught.value.reason == "the disk is full" and "HARNESS_HOME" in caught.value.advice and len(calls) == 1


def test_a_home_that_is_a_file(toy):
    toy.home.write_text("")
    with pytest.raises(EnvironmentFailed, match="not a directory"):
        environments.ensure(toy.spec, "cpu")


def test_a_changed_lock_leaves_a_stale_environment(toy):
    old = environments.ensure(toy.spec, "cpu")
    toy.sha256 = build_wheel(toy.wheels, "1.1")
    toy.lock("first.lock", "1.1")
    toy.lock("second.lock", "1.1")
    (absent, stale) = environments.listing([toy.spec], "cpu")
    assert (absent.state, stale.state, stale.folder) == ("absent", "stale", old.python.parents[1])
    new = environments.ensure(toy.spec, "cpu")
    assert new.packages == {"harness-toy": "1.1"}
    assert [row.folder for row in environments.remove([toy.spec], only_stale=True)] == [stale.folder]
    assert [row.state for row in environments.listing([toy.spec], "cpu")] == ["made"]
    assert len(environments.remove([toy.spec])) == 1 and toy.left_over() == []


def test_cuda_without_a_gpu_or_with_one_that_does_not_fit(toy, monkeypatch):
    seen = Devices(problem="no NVIDIA GPU: NVML says 'driver not loaded'")
    monkeypatch.setattr(devices, "examine", lambda: seen)
    with pytest.raises(EnvironmentFailed, match="NVML says 'driver not loaded'"):
        environments.ensure(toy.spec, "cuda")
    seen = Devices((Gpu(0, "Old GPU", (7, 5), 1),), "580.1", (13, 0))
    with pytest.raises(EnvironmentFailed, match=r"Old GPU has compute capability 7\.5; its wheels have code for sm_90"):
        environments.ensure(toy.spec, "cuda")
    seen = Devices((Gpu(0, "New GPU", (9, 0), 1),), "550.1", (12, 4))
    with pytest.raises(EnvironmentFailed, match=r"driver 550\.1 supports CUDA up to 12\.4"):
        environments.ensure(toy.spec, "cuda")
    seen = Devices((Gpu(0, "New GPU", (9, 0), 1),), "580.1", (13, 0))
    assert environments.ensure(toy.spec, "cuda").device == "cuda"


# Interpreters that are given -----------------------------------------------------------------------------------------


def test_the_interpreter_that_is_running(monkeypatch):
    environment = environments.given(find_adapter("null"), "current")
    assert environment.python == Path(sys.executable) and environment.name == "current"
    assert environment.install_seconds is None and environment.lock is None and "numpy" in environment.packages


def test_a_given_interpreter_says_how_it_differs(toy):
    made = environments.ensure(toy.spec, "cpu")
    spec = dataclasses.replace(toy.spec.environments[0], install=("harness-toy==2.0",))
    adapter = dataclasses.replace(toy.spec, environments=(spec,))
    given = environments.given(adapter, str(made.python.parents[1]))
    assert given.python == made.python and given.name == "given"
    assert given.notes == ("harness-toy is 1.0; the adapter is written for ==2.0",)


def test_a_given_interpreter_without_the_framework(toy, tmp_path):
    with pytest.raises(EnvironmentFailed) as caught:
        environments.given(toy.spec, "current")
    assert "has no harness-toy" in caught.value.reason and "'harness-toy==1.0'" in caught.value.advice
    with pytest.raises(EnvironmentFailed, match="no interpreter there"):
        environments.given(toy.spec, str(tmp_path / "nowhere"))
    with pytest.raises(HarnessError, match="not a Python that answers"):
        environments.given(toy.spec, "/bin/true")


def test_hard_links_are_counted_once(toy):
    made = environments.ensure(toy.spec, "cpu")
    module = next(made.python.parents[1].rglob("harness_toy/__init__.py"))
    (module.parent / "again.py").hardlink_to(module)
    assert environments.inspect(made.python).bytes_on_disk == made.bytes_on_disk


def test_every_python_that_is_here_answers():
    assert HERE in uv.interpreters()
    for version, interpreter in uv.interpreters().items():
        if tuple(map(int, version.split("."))) >= (3, 7):
            assert environments.inspect(interpreter.path).python_version == interpreter.version


# uv ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("error: Hash mismatch for `a==1`", "a==1: the file offered here is not the one that was locked"),
        ("error: x\n  cause: dns error", "no network: the package index cannot be reached"),
        ("cause: Because a was not found in the cache and\nhint: the network was disabled", "its cache lacks a"),
        ("Because torch==1.10.2 has no wheels with a matching Python ABI tag", "torch has no wheel for Python 3.9"),
        (
            "Because mxnet{m != 'x'}==1 has no wheels with a matching platform tag",
            "mxnet has no wheel for this platform",
        ),
        ("Because there is no version of a==9 and", "a==9 is not offered here"),
        ("error: failed\n  cause: No space left on device (os error 28)", "the disk is full"),
        ("error: something new", "uv failed: something new"),
        ("", "uv failed: no output"),
    ],
)
def test_failures_are_put_into_words(output, reason):
    assert reason in uv.meaning(output, "3.9")


def test_uv_hears_of_the_users_wheels_but_not_of_their_project(monkeypatch):
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_FIND_LINKS", "/one /two")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    variables = uv.variables()
    assert variables["UV_FIND_LINKS"] == "/one,/two" and "VIRTUAL_ENV" not in variables
    assert variables["UV_PYTHON_DOWNLOADS"] == "never"
    monkeypatch.setenv("UV_FIND_LINKS", "/three")
    assert uv.variables()["UV_FIND_LINKS"] == "/three"


# Lock files ----------------------------------------------------------------------------------------------------------


def test_a_lock_is_written_anew_without_places(toy):
    (file, other), spec = toy.spec.environments[0].locks, toy.spec.environments[0]
    assert environments.lock(toy.spec, spec, file)
    text = file.read_text()
    assert text == (
        f"# Made by `harness env lock` for Python {HERE} and newer from: harness-toy==1.0\n"
        f"harness-toy==1.0 \\\n    --hash=sha256:{toy.sha256}\n"
    )
    assert not environments.lock(toy.spec, spec, file)
    before = other.read_text()
    with pytest.raises(EnvironmentFailed, match=r"second\.lock: no network"):  # the public index is not reached offline
        environments.lock(toy.spec, spec, other)
    assert other.read_text() == before and sorted(path.name for path in toy.folder.iterdir()) == [
        "adapter.toml", "first.lock", "second.lock",
    ]  # fmt: skip


def test_addresses_are_kept_out_of_locks():
    assert locking.without_places("--index-url https://a/\n# from b\na==1 \\\n    --hash=sha256:0\n", Path("x")) == (
        "a==1 \\\n    --hash=sha256:0\n"
    )
    with pytest.raises(EnvironmentFailed, match="pinned to an address"):
        locking.without_places("a @ file:///tmp/a.whl\n", Path("x"))


# The commands --------------------------------------------------------------------------------------------------------


def test_the_commands(toy):
    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "toy", "--adapter-path", str(toy.folder)], env={"COLUMNS": "200"})
        return result.exit_code, result.output

    assert "absent" in run("list")[1]
    code, output = run("sync")
    assert code == 0 and "toy cpu: made in" in output and "first.lock, 1 packages" in output
    assert "there already" in run("sync")[1]
    assert " made " in run("list", "--device", "cpu")[1]
    assert "1 removed" in run("remove")[1] and toy.left_over() == []
    toy.describe("3.99")
    code, output = run("sync")
    assert code == 2 and "needs Python 3.99" in output


def test_remove_wants_to_be_told_what():
    result = CliRunner().invoke(app, ["remove"])
    assert isinstance(result.exception, HarnessError) and "--stale" in result.exception.advice


def test_the_record_can_be_read_by_others(toy):
    made = environments.ensure(toy.spec, "cpu")
    record = json.loads((made.python.parents[1] / making.RECORD).read_text())
    assert record["lock_sha256"] == hashlib.sha256((toy.folder / "first.lock").read_bytes()).hexdigest()
    assert record["created"].endswith("+00:00") and record["passed_over"] == {}
