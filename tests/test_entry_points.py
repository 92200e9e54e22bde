"""Adapters from outside: from an installed package, and from a folder that is named."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import SPECIMENS

from harness.adapters import INTERFACE_VERSION
from harness.environments import uv

TRAINER = SPECIMENS / "cheats" / "trainer"

#: No cell of these runs shall take longer than it must.
SUITE = """
[settings]
warm_up_seconds = 0.01
turn_seconds = 0.005
sample_seconds = 0.0005
comparison_seconds = 0.1
min_rounds = 3
max_rounds = 3

[[comparisons]]
scenario = "infer"
models = ["mlp"]
"""


def harness(*arguments: str, cwd: Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the harness; path: where packages lie that it finds beside its own."""
    environ = {**os.environ, "HARNESS_HOME": str(cwd / "home"), "PYTHONPATH": path, "COLUMNS": "160"}
    line = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environ, timeout=120)


def build(folder: Path, module: str, points: str, interface: int = INTERFACE_VERSION) -> Path:
    """A wheel of a package that holds an adapter, as any build tool makes it."""
    info = f"{module}-1.0.dist-info"
    files = {f"{module}/{path.name}": path.read_text() for path in TRAINER.iterdir() if path.is_file()}
    toml = files[f"{module}/adapter.toml"].replace('"Trainer"', '"Toy"')
    files[f"{module}/adapter.toml"] = toml.replace("interface = 1", f"interface = {interface}")
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[harness.adapters]\n{points}\n",
    }
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
        file.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return wheel


def install(wheel: Path, target: Path) -> str:
    """Install a wheel into a folder, as a user does; the folder."""
    done = uv.call("pip", "install", "--no-deps", "--no-index", "--python", sys.executable, "--target", target, wheel)
    assert done.ok, done.output
    return str(target)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("packages")
    return install(build(folder, "toyframework", "toyframework = toyframework"), folder / "site")


def test_an_installed_package_is_listed(packages: str, tmp_path: Path) -> None:
    done = harness("list", "adapters", cwd=tmp_path, path=packages)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("toyframework"))
    assert "Toy" in line and "infer, train" in line
    assert "toyframework" not in harness("list", "adapters", cwd=tmp_path).stdout


def test_an_installed_package_computes_a_model(packages: str, tmp_path: Path) -> None:
    line = ["check", "mlp", "--adapters", "toyframework", "--env", "toyframework=current"]
    done = harness(*line, cwd=tmp_path, path=packages)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Toy" in done.stdout or "toyframework" in done.stdout


def test_an_installed_package_is_checked_by_its_name(packages: str, tmp_path: Path) -> None:
    line = ["adapter", "check", "toyframework", "--env", "toyframework=current", "--only", "interface"]
    done = harness(*line, cwd=tmp_path, path=packages)
    assert done.returncode == 0 and "Toy 2." in done.stdout, done.stdout + done.stderr


def test_an_entry_point_may_be_a_folder_with_several_adapters(tmp_path: Path) -> None:
    wheel = build(tmp_path, "toyframework", f"all = {SPECIMENS / 'cheats'}")
    done = harness("list", "adapters", cwd=tmp_path, path=install(wheel, tmp_path / "site"))
    assert "trainer" in done.stdout and "caching" in done.stdout, done.stderr


def test_an_entry_point_without_its_module_says_which_package_to_mend(tmp_path: Path) -> None:
    path = install(build(tmp_path, "toyframework", "toyframework = toyframework.gone"), tmp_path / "site")
    done = harness("list", "adapters", cwd=tmp_path, path=path)
    assert done.returncode == 2 and "'toyframework.gone'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["run", "trainer", "--suite", "suite.toml", "--out", "runs", "--name", "one"],
        ["check", "mlp", "--adapters", "trainer"],
        ["adapter", "check", "trainer", "--only", "interface,answers"],
    ],
)
@pytest.mark.parametrize("folder", [TRAINER, TRAINER.parent], ids=["of one", "of several"])
def test_a_folder_that_is_named_is_used_by_every_command(command: list[str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE)
    path = ["--adapter-path", str(folder), "--env", "trainer=current"]
    done = harness(*command, *path, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trainer" in (done.stdout + done.stderr).lower()


@pytest.mark.parametrize(
    "command", [["run", "trianer"], ["check", "mlp", "--adapters", "trianer"], ["adapter", "check", "trianer"]]
)
def test_an_unknown_name_gets_the_closest_one(command: list[str], tmp_path: Path) -> None:
    done = harness(*command, "--adapter-path", str(TRAINER.parent), cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'trainer'?" in done.stderr


def test_an_adapter_of_another_interface_is_refused_with_both_versions(tmp_path: Path) -> None:
    newer = INTERFACE_VERSION + 1
    path = install(build(tmp_path, "toyframework", "toyframework = toyframework", newer), tmp_path / "site")
    said = f"written for interface {newer}; this harness speaks interface {INTERFACE_VERSION}"
    for command in (["adapter", "check", "toyframework"], ["adapter", "check", f"{path}/toyframework"]):
        done = harness(*command, cwd=tmp_path, path=path)
        assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    others = ["adapter", "check", "trainer", "--adapter-path", str(TRAINER), "--env", "trainer=current"]
    done = harness(*others, "--only", "interface", cwd=tmp_path, path=path)
    assert done.returncode == 0, done.stderr
