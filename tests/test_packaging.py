"""The wheel: it installs `harness` and nothing else at the top, and carries adapters and models inside it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_plants_no_common_names(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"harness"}


def test_an_installed_harness_finds_its_adapters_models_and_suites(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import harness.paths, harness.kit, harness.zoo, harness.adapters, harness.suite;"
        "print(harness.paths.ADAPTERS); print(*harness.adapters.all_adapters()); print(*harness.zoo.names());"
        "print(*harness.suite.names()); print(harness.zoo.path('mlp', None).is_file())"
    )
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
                          capture_output=True, text=True, check=True, cwd=tmp_path)  # fmt: skip
    adapters, names, models, suites, there = done.stdout.splitlines()
    assert Path(adapters) == tmp_path / "harness" / "bundled" / "adapters"
    assert {"torch", "tensorflow", "mxnet", "caffe2", "onnxruntime", "null"} <= set(names.split())
    assert {"mlp", "vgg16"} <= set(models.split()) and {"quick", "standard"} <= set(suites.split())
    assert there == "True"
