"""Suites: what a TOML file asks for becomes cells, and a mistake in it is named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import suite
from harness.adapters import all_adapters
from harness.errors import HarnessError
from harness.matrix import baseline, expand, usable_cores


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_our_own_suites_cover_inference_training_cold_starts_and_ease(name: str) -> None:
    scenarios = {table.scenario for table in suite.load(name).comparisons}
    assert scenarios >= {"roof", "infer", "train", "coldstart", "ease"}


def test_every_combination_of_a_table_is_a_comparison(tmp_path: Path) -> None:
    text = '[[comparisons]]\nscenario = "infer"\nmodels = ["mlp", "lstm"]\nbatches = [1, 4]\n'
    text += 'clock_scopes = ["device", "call"]'
    adapters = [spec for name, spec in all_adapters().items() if name in ("torch", "mxnet")]
    found = expand(suite.load(written(tmp_path, text)), adapters, {"torch": "cpu", "mxnet": "cpu"})
    assert len(found) == 8 and all(len(comparison.cells) == 2 for comparison in found)
    assert [comparison.first.model for comparison in found] == ["mlp"] * 4 + ["lstm"] * 4
    assert len({cell.id for comparison in found for cell in comparison.cells}) == 16
    assert {cell.threads for comparison in found for cell in comparison.cells} == {usable_cores()}


def test_devices_and_clock_scopes_are_never_compared_with_each_other() -> None:
    adapters = [spec for name, spec in all_adapters().items() if name in ("torch", "mxnet")]
    for comparison in expand(suite.load("standard"), adapters, {"torch": "cuda", "mxnet": "cpu"}):
        assert len({(cell.device, cell.clock_scope) for cell in comparison.cells}) == 1


def test_modes_that_an_adapter_lacks_are_left_out(tmp_path: Path) -> None:
    text = '[[comparisons]]\nscenario = "infer"\nmodels = ["mlp"]\nmodes = ["eager", "compiled", "hybridized"]'
    adapters = [spec for name, spec in all_adapters().items() if name in ("torch", "mxnet")]
    (only,) = expand(suite.load(written(tmp_path, text)), adapters, {"torch": "cpu", "mxnet": "cpu"})
    assert {(cell.adapter, cell.mode) for cell in only.cells} == {
        ("torch", "eager"), ("torch", "compiled"), ("mxnet", "hybridized"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        ("[setings]", "Did you mean 'settings'"),
        ("[settings]\nwarmup = 1", "settings: unknown key 'warmup'"),
        ("[settings]\nturn_seconds = 'long'", "turn_seconds must be a number"),
        ("[settings]\nmax_rounds = -1", "max_rounds must be a number, 0 or more"),
        ("[[comparisons]]\nmodels = ['mlp']", "scenario"),
        ("[[comparisons]]\nscenario = 'infr'", "Did you mean 'infer'"),
        ("[[comparisons]]\nscenario = 'infer'\nmodels = 'mlp'", "models must be a list"),
        ("[[comparisons]]\nscenario = 'infer'\nbatches = [0]", "whole number"),
        ("[[comparisons]]\nscenario = 'infer'\nclock_scopes = ['wall']", "unknown clock scope 'wall'"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(HarnessError) as error:
        suite.load(path)
    assert path in str(error.value) and message in str(error.value)


def test_hand_written_networks_are_compared_with_their_own_adapter_only() -> None:
    adapters = [spec for name, spec in all_adapters().items() if name in ("torch", "mxnet")]
    found = expand(suite.load("native"), adapters, {"torch": "cpu", "mxnet": "cpu"})
    native = [comparison for comparison in found if comparison.first.scenario == "native"]
    assert len(native) == 2 * 4 * 2, "two frameworks, four models, inference and training"
    for comparison in native:
        assert len({cell.adapter for cell in comparison.cells}) == 1
        assert comparison.first.mode == "native"
        assert len(comparison.cells) == (3 if comparison.first.adapter == "mxnet" else 2), "MXNet has two modes to try"
        assert baseline([(cell.adapter, cell.mode) for cell in comparison.cells]) == 0


def test_an_adapter_without_a_hand_written_network_of_a_model_has_no_such_cell(tmp_path: Path) -> None:
    text = '[[comparisons]]\nscenario = "native"\nmodels = ["mlp"]\n'
    assert not expand(suite.load(written(tmp_path, text)), [all_adapters()["torch"]], {"torch": "cpu"})


def test_without_cudnn_is_asked_of_gpus_only(tmp_path: Path) -> None:
    text = '[[comparisons]]\nscenario = "infer"\nmodels = ["mlp"]\ncudnn = [true, false]\n'
    adapters = [spec for name, spec in all_adapters().items() if name in ("torch", "mxnet")]
    cells = [
        cell
        for comparison in expand(suite.load(written(tmp_path, text)), adapters, {"torch": "cuda", "mxnet": "cpu"})
        for cell in comparison.cells
    ]
    assert [(cell.adapter, cell.cudnn) for cell in cells] == [("mxnet", True), ("torch", True), ("torch", False)]
    assert len({cell.id for cell in cells}) == 3


def test_the_baseline_is_the_hand_written_network_then_torch_then_the_first_by_name() -> None:
    assert baseline([("torch", "eager"), ("torch", "native")]) == 1
    assert baseline([("mxnet", "hybridized"), ("torch", "compiled"), ("torch", "eager")]) == 1
    assert baseline([("tensorflow", "graph"), ("mxnet", "hybridized")]) == 1
