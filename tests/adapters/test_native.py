"""Networks written by hand are right too, and options are honoured or refused, in every framework."""

from __future__ import annotations

import pytest

from harness.adapters import AdapterSpec
from harness.scenarios import infer, train
from harness.spec.precision import PRECISIONS
from harness.worker import WorkerFailed

MODELS = ("lenet5", "lstm", "encoder", "resnet18")


@pytest.mark.parametrize("model", MODELS)
def test_a_hand_written_network_infers_right(model: str, adapter: AdapterSpec, live) -> None:
    assert model in adapter.native_models
    cell = live(model, "infer", mode="native")
    infer.gate(cell)
    assert not cell.finding.reason


@pytest.mark.parametrize("model", ("lenet5", "lstm", "encoder"))
def test_a_hand_written_network_trains_right_or_says_why_it_cannot(model: str, live) -> None:
    try:
        cell = live(model, "train", mode="native")
    except WorkerFailed as refused:
        assert refused.kind == "unsupported" and refused.reason
        return
    train.gate(cell)
    assert not cell.finding.reason


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "fp32"])
@pytest.mark.parametrize("model", ("lenet5", "encoder"))
def test_a_precision_is_right_or_refused(model: str, precision: str, adapter: AdapterSpec, live) -> None:
    try:
        cell = live(model, "infer", precision=precision)
    except WorkerFailed as refused:
        assert refused.kind == "unsupported", refused.reason
        assert precision in refused.reason.lower() or precision not in adapter.precisions
        return
    infer.gate(cell)
    assert not cell.finding.reason


@pytest.mark.parametrize("threads", (1, 2))
def test_no_more_threads_work_than_were_asked_for(threads: int, live) -> None:
    cell = live("resnet18", "infer", threads=threads)
    ran = cell.ask("ran", what="infer", inputs=str(cell.workload.inputs()))["facts"]
    assert ran["working_threads"] <= threads


def test_numbers_too_small_for_a_normal_float_are_flushed_as_everywhere(live) -> None:
    cell = live("lenet5", "infer")
    ran = cell.ask("ran", what="infer", inputs=str(cell.workload.inputs()))
    assert ran["facts"]["libraries"] or ran["facts"]["pools"]
    says = {**cell.site.hello["facts"], **ran["network"]}
    assert says["flush_denormals"] is True
