"""Rounds end when every ratio is known as exactly as was asked."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy
import pytest

from harness.measure.energy import Meter
from harness.measure.tally import Tally
from harness.rounds import Rounds
from harness.suite import Settings


def turn(ns: float, waited_ns: float = 0.0, others_ns: float | None = 0.0, joules: dict[str, float] | None = None):
    reply = {"ns": [ns] * 3, "waited_ns": [waited_ns] * 3, "repetitions": 2, "turn_ns": 6 * ns, "others_ns": others_ns}
    return {**reply, "joules": joules or {}}


def cell(adapter: str, noise: float, seed: int):
    tally = Tally()
    for number, ns in enumerate(numpy.random.default_rng(seed).normal(1000, 1000 * noise, 40)):
        tally.add(number, turn(float(ns)))
    return SimpleNamespace(cell=SimpleNamespace(adapter=adapter, mode="eager"), tally=tally)


@pytest.mark.parametrize(("noise", "enough"), [(0.001, True), (0.2, False)])
def test_rounds_end_when_the_ratios_are_known_well_enough(noise, enough) -> None:
    rounds = Rounds(Settings(precision=0.01), random.Random(0), lambda *_: None, Meter())
    assert rounds._exact_enough([cell("torch", noise, 1), cell("mxnet", noise, 2), cell("null", 1.0, 3)]) is enough


def test_without_a_wish_for_precision_only_time_ends_the_rounds() -> None:
    rounds = Rounds(Settings(), random.Random(0), lambda *_: None, Meter())
    assert not rounds._exact_enough([cell("torch", 0.0, 1), cell("mxnet", 0.0, 2)])


def test_samples_that_waited_for_others_are_not_counted() -> None:
    tally = Tally()
    tally.add(0, turn(1000.0, others_ns=6000.0))
    tally.add(1, turn(3000.0, waited_ns=4000.0, others_ns=18000.0))
    assert tally.rounds() == {0: 1000.0}


def test_who_has_the_machine_to_himself_waits_for_himself_only() -> None:
    tally = Tally()
    tally.add(0, turn(3000.0, waited_ns=4000.0, others_ns=0.0))
    assert tally.rounds() == {0: 3000.0}


def test_energy_is_of_a_step_and_absent_without_a_counter() -> None:
    tally = Tally()
    tally.add(0, turn(1000.0, joules={"package-0": 3.0, "package-1": 3.0, "dram-0": 1.0}))
    assert tally.joules_per_step("package") == pytest.approx(1.0)
    assert tally.joules_per_step("gpu") is None
