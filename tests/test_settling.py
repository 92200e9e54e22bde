"""Warm-up ends when the steps have settled, neither sooner nor later."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.settling import LEAST_GROUPS, change_point, settled_after


def noisy(level: float, count: int, seed: int = 0) -> list[float]:
    return list(numpy.random.default_rng(seed).normal(level, 0.03 * level, count))


def test_steps_of_one_level_have_settled_at_once() -> None:
    assert settled_after(noisy(100, 500)) == 0


def test_a_slow_first_step_is_warm_up() -> None:
    assert settled_after([5000, *noisy(100, 30)]) == 1


def test_a_slow_beginning_is_warm_up_to_where_it_ends() -> None:
    assert settled_after(noisy(200, 40) + noisy(100, 100)) == pytest.approx(40, abs=4)


def test_two_stages_of_warming_up_are_both_warm_up() -> None:
    assert settled_after(noisy(400, 60) + noisy(200, 60) + noisy(100, 240)) == pytest.approx(120, abs=9)


def test_too_few_steps_have_not_settled() -> None:
    assert settled_after(noisy(100, LEAST_GROUPS - 1)) is None


def test_steps_that_still_get_faster_have_not_settled() -> None:
    assert settled_after(list(numpy.linspace(400, 100, 40))) is None


def test_a_drift_of_a_percent_is_the_machine_s_and_no_warm_up() -> None:
    assert settled_after(list(numpy.linspace(101, 100, 400))) == 0


def test_the_change_point_is_where_the_level_changes() -> None:
    before, chance = change_point(numpy.array([*noisy(2, 20), *noisy(1, 20)]))
    assert before == 20 and chance < 1e-4


def test_chance_is_rarely_taken_for_a_change() -> None:
    random = numpy.random.default_rng(1)
    found = sum(change_point(random.normal(size=40))[1] < 0.05 for _ in range(400))
    assert found / 400 < 0.06


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=80))
def test_whatever_the_steps_were_some_are_left(steps: list[float]) -> None:
    after = settled_after(steps)
    assert after is None or 0 <= after < len(steps)
