"""adapter.toml: ours are right, wrong ones are refused with the file and the key, and adapters are found."""

import importlib.metadata
import re

import pytest

from harness import adapters
from harness.adapters import all_adapters, find_adapter, pick_adapters, read_adapter
from harness.errors import HarnessError
from harness.paths import ADAPTERS

OURS = sorted(file.parent.name for file in ADAPTERS.glob("*/adapter.toml"))

RIGHT = """
interface = 1
title = "Toy"
package = "toy"
[lineage]
origin = "academia"
by = "a school"
first_release = 2020
status = "active"
[execution]
layout = "channels-first"
modes = ["eager"]
precisions = ["fp32"]
scenarios = ["infer"]
[environments.cpu]
device = "cpu"
python = ["3.11"]
install = ["toy==1.0"]
locks = ["cpu.lock"]
"""


@pytest.fixture
def write(tmp_path):
    """Writes an adapter.toml into a folder of a name, and returns the folder."""

    def write(text=RIGHT, name="toy"):
        folder = tmp_path / "extra" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter.toml").write_text(text)
        return folder

    return write


@pytest.mark.parametrize("name", OURS)
def test_ours_are_complete(name):
    spec = find_adapter(name)
    assert all(spec.environment("cpu", scenario).locks for scenario in spec.scenarios)
    for environment in spec.environments:
        assert all(lock.is_file() for lock in environment.locks), environment.name
        assert (environment.device == "cuda") == bool(environment.gpu_architectures) == bool(environment.cuda)
    if name != "null" and "cuda" not in spec.devices:
        assert any("GPU" in quirk.about for quirk in spec.quirks)  # why not


@pytest.mark.parametrize("lock", sorted(ADAPTERS.glob("*/*.lock")), ids=lambda lock: f"{lock.parent.name}-{lock.name}")
def test_locks_pin_and_hash_everything_and_name_no_place(lock):
    text = lock.read_text()
    assert "://" not in text and " @ " not in text and not re.search(r"^\s*-(-?)(i|f|index|find|extra)", text, re.M)
    pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert pins
    for pin in pins:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==[^ ]+ ", pin) and pin.endswith("\\"), pin
    hashes = [line for line in text.splitlines() if line.startswith(" ")]
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)


def test_every_lock_that_lies_there_is_named():
    named = {lock for spec in all_adapters().values() for e in spec.environments for lock in e.locks}
    assert set(ADAPTERS.glob("*/*.lock")) == named


def test_the_kit_has_the_interface_that_adapters_are_written_for():
    text = (ADAPTERS / "kit" / "interface.py").read_text()
    assert re.search(r"^INTERFACE_VERSION = (\d+)$", text, re.M)[1] == str(adapters.INTERFACE_VERSION)


def test_onnxruntime_trains_in_an_environment_of_its_own():
    spec = find_adapter("onnxruntime")
    assert spec.environment("cpu", "infer").name == spec.environment("cpu", "coldstart").name == "cpu"
    assert spec.environment("cpu", "train").name == "cpu-train"


def test_what_a_framework_needs_is_not_what_we_chose(write):
    install = 'install = ["toy==1.0", "numpy==2.4.6", "six<2"]'
    spec = read_adapter(write(RIGHT.replace('install = ["toy==1.0"]', install)))
    assert spec.essentials(spec.environments[0]) == ("toy==1.0", "numpy", "six<2")
    spec = read_adapter(write(RIGHT.replace('install = ["toy==1.0"]', install + '\nneeds = ["numpy<2"]')))
    assert spec.essentials(spec.environments[0]) == ("toy==1.0", "numpy<2")
    spec = read_adapter(write(RIGHT.replace('install = ["toy==1.0"]', install + "\nneeds = []")))
    assert spec.essentials(spec.environments[0]) == ("toy==1.0",)
    assert "numpy<1.24" in find_adapter("mxnet").essentials(find_adapter("mxnet").environment("cpu"))
    assert "numpy" in find_adapter("torch").essentials(find_adapter("torch").environment("cpu"))


def test_an_environment_that_is_not_there(write):
    with pytest.raises(HarnessError, match="no environment for train on cuda"):
        read_adapter(write()).environment("cuda", "train")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("interface = 1", "interface = 2", "interface 2"),
        ('title = "Toy"', "", "title is missing"),
        ('title = "Toy"', "title = 3", "title is 3; it must be of type str"),
        ('package = "toy"', "package = []", "package is empty"),
        ('origin = "academia"', 'origin = "nowhere"', "lineage.origin is 'nowhere'"),
        ('by = "a school"', "", "lineage.by is missing"),
        ("first_release = 2020", 'first_release = "2020"', "lineage.first_release"),
        ('layout = "channels-first"', 'layout = "NHWC"', "execution.layout"),
        ('scenarios = ["infer"]', 'scenarios = ["dream"]', "execution.scenarios holds 'dream'"),
        ('device = "cpu"', 'device = "tpu"', "environments.cpu.device"),
        ('python = ["3.11"]', 'python = ["3"]', "environments.cpu.python"),
        ('locks = ["cpu.lock"]', "locks = []", "environments.cpu.locks is empty"),
        ('locks = ["cpu.lock"]', 'locks = ["cpu.lock"]\nneeds = ["numpy < two"]', "needs holds 'numpy < two'"),
        ('locks = ["cpu.lock"]', 'lock = ["cpu.lock"]', "environments.cpu.lock means nothing. Did you mean 'locks'"),
        (
            'locks = ["cpu.lock"]',
            'locks = ["cpu.lock"]\ngpu_architectures = ["H100"]',
            "gpu_architectures holds 'H100'",
        ),
        ("[execution]", "[execution", "adapter.toml: "),
        ("[execution]", "[elsewhere]", "elsewhere means nothing"),
    ],
)
def test_what_is_wrong_is_named(write, before, after, says):
    assert before in RIGHT
    folder = write(RIGHT.replace(before, after, 1))
    with pytest.raises(HarnessError) as caught:
        read_adapter(folder)
    assert says in caught.value.what and str(folder / "adapter.toml") in caught.value.what


def test_more_adapters_come_from_folders(write):
    folder = write()
    assert all_adapters([folder])["toy"].title == "Toy"
    assert all_adapters([folder.parent])["toy"].folder == folder
    assert list(all_adapters()) == OURS


def test_a_folder_without_an_adapter(tmp_path):
    with pytest.raises(HarnessError, match="no adapter there"):
        all_adapters([tmp_path])


@pytest.mark.parametrize("as_module", [True, False])
def test_more_adapters_come_from_entry_points(write, monkeypatch, as_module):
    folder = write()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    point = importlib.metadata.EntryPoint("toy", "toy" if as_module else str(folder), adapters.ENTRY_POINT_GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    assert all_adapters()["toy"].folder == folder


def test_an_entry_point_without_a_module(monkeypatch):
    point = importlib.metadata.EntryPoint("toy", "no_such_module_at_all", adapters.ENTRY_POINT_GROUP)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    with pytest.raises(HarnessError, match="no module 'no_such_module_at_all'"):
        all_adapters()


def test_mistyped_names_get_advice():
    with pytest.raises(HarnessError) as caught:
        pick_adapters(["torch", "tensorfow"])
    assert "tensorfow" in caught.value.what and "'tensorflow'" in caught.value.advice
    assert [spec.name for spec in pick_adapters(["torch", "null", "torch"])] == ["torch", "null"]
    assert [spec.name for spec in pick_adapters([])] == OURS
