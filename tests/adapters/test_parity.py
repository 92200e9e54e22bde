"""Every adapter computes what the model says, and learns what the recipe says."""

from __future__ import annotations

import numpy
import pytest

from harness.scenarios import infer, train
from harness.worker import WorkerFailed

MODELS = ["mlp", "lenet5", "resnet_cifar", "depthwise", "lstm", "encoder"]


@pytest.mark.parametrize("model", [*MODELS, "resnet18"])
def test_inference_gives_the_reference_s_outputs(model: str, live) -> None:
    one = live(model, "infer")
    infer.gate(one)
    assert not one.finding.reason and one.finding.max_relative_error < 1e-4


@pytest.mark.parametrize("model", MODELS)
def test_training_has_the_reference_s_loss_its_slopes_and_the_optimizer_s_step(model: str, live) -> None:
    one = live(model, "train", batch=8)
    train.gate(one)
    assert not one.finding.reason
    assert one.parameters_trained == one.workload.cost.parameters
    assert one.curve[-1] < one.curve[0]


@pytest.mark.parametrize(
    "options", [{"mode": "backwards"}, {"precision": "fp7"}], ids=["an unknown mode", "an unknown precision"]
)
def test_an_option_that_it_cannot_honour_is_refused(options: dict[str, str], live) -> None:
    with pytest.raises(WorkerFailed) as failure:
        live("mlp", "infer", **options)
    assert failure.value.kind == "unsupported", failure.value.reason


def test_training_begins_anew_after_a_reset(live) -> None:
    one = live("mlp", "train")
    inputs = [str(one.workload.inputs())]
    first = one.ask("train", inputs=inputs, steps=4)["losses"]
    again = one.ask("train", inputs=inputs, steps=4)["losses"]
    assert again == pytest.approx(first, rel=1e-5)


def test_gradients_change_nothing(live) -> None:
    one = live("resnet_cifar", "train")
    inputs = str(one.workload.inputs())
    before = one.workload.program.weights
    one.fetch("gradients", inputs=inputs)
    after = one.fetch("parameters")
    assert one.workload.program.training.updates.keys() <= after.keys()
    for name, array in after.items():
        numpy.testing.assert_allclose(array, before[name], rtol=1e-6, err_msg=name)
