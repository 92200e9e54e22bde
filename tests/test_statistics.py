"""Statistics: known answers, and properties that hold for any data."""

import math
import time

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.measure import statistics
from harness.measure.statistics import Estimate

ROUNDS = st.lists(st.floats(1.0, 1e9), min_size=statistics.MINIMUM_ROUNDS, max_size=20)


def test_the_median_and_its_interval():
    values = numpy.arange(1.0, 22.0)
    estimate = statistics.median_interval(values)
    assert estimate.value == 11.0
    # The exact interval from order statistics, for 21 values: the 6th to the 16th.
    assert estimate.low == pytest.approx(6, abs=1.5) and estimate.high == pytest.approx(16, abs=1.5)


def test_without_enough_rounds_there_is_no_interval():
    assert math.isnan(statistics.median_interval([]).value)
    for count in range(1, statistics.MINIMUM_ROUNDS):
        estimate = statistics.median_interval([3.0] * count)
        assert estimate.value == 3.0 and math.isnan(estimate.low) and math.isnan(estimate.high)
        assert statistics.verdict(estimate) == "cannot tell"


def test_where_bca_is_degenerate_the_percentile_interval_stands_in():
    assert statistics.median_interval([7.0] * 9) == Estimate(7.0, 7.0, 7.0)
    estimate = statistics.median_interval([7.0] * 30 + [8.0])
    assert (estimate.value, estimate.low, estimate.high) == (7.0, 7.0, 7.0)


def test_the_same_data_give_the_same_interval():
    values = numpy.random.default_rng(5).lognormal(size=17)
    assert statistics.median_interval(values) == statistics.median_interval(values)


@settings(max_examples=40, deadline=None)
@given(ROUNDS, st.integers(-20, 20))
def test_the_interval_holds_the_median_and_scales_with_the_unit(values, power):
    estimate = statistics.median_interval(values)
    rounding = 1 + 1e-12  # of the interpolation between resamples
    assert min(values) / rounding <= estimate.low <= estimate.high <= max(values) * rounding
    scaled = statistics.median_interval(numpy.array(values) * 2.0**power)
    assert scaled == Estimate(*(part * 2.0**power for part in (estimate.value, estimate.low, estimate.high)))


@pytest.mark.parametrize("count", [5, 6, 30, 51])
def test_the_interval_is_that_of_scipy(count):
    values = numpy.random.default_rng(3).lognormal(0.0, 0.3, count)
    right = stats.bootstrap(
        (numpy.sort(values),),
        numpy.median,
        n_resamples=statistics.RESAMPLES,
        confidence_level=statistics.CONFIDENCE,
        method="BCa",
        rng=numpy.random.default_rng(statistics.SEED),
    ).confidence_interval
    estimate = statistics.median_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((right.low, right.high), rel=1e-12)


@pytest.mark.parametrize("count, least", [(5, 0.85), (12, 0.9), (30, 0.9)])
def test_the_interval_covers_the_true_median_about_as_often_as_it_says(count, least):
    generator = numpy.random.default_rng(11)
    trials = 600
    hits = 0
    for _ in range(trials):
        estimate = statistics.median_interval(generator.lognormal(0.0, 0.3, count))  # its median is 1
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits / trials >= least


def test_pairing_cancels_what_disturbed_a_round():
    generator = numpy.random.default_rng(2)
    rounds = numpy.arange(20)
    drift = generator.lognormal(0.0, 1.0, 20)
    base = drift * generator.lognormal(0.0, 0.01, 20)
    slower = 1.1 * drift * generator.lognormal(0.0, 0.01, 20)
    ratio = statistics.paired_ratio(rounds, slower, rounds, base)
    assert ratio.value == pytest.approx(1.1, rel=0.02) and ratio.high - ratio.low < 0.05
    assert statistics.verdict(ratio) == "slower"
    assert statistics.verdict(statistics.paired_ratio(rounds, base, rounds, slower)) == "faster"


def test_only_rounds_of_both_are_paired():
    ratio = statistics.paired_ratio([3, 1, 7], [30.0, 10.0, 70.0], [1, 2, 3], [5.0, 99.0, 10.0])
    assert ratio.value == 2.5
    assert math.isnan(statistics.paired_ratio([1], [1.0], [2], [1.0]).value)


def test_equals_are_called_apart_about_as_seldom_as_promised():
    generator = numpy.random.default_rng(3)
    rounds = numpy.arange(20)
    trials = 600
    verdicts = [
        statistics.verdict(
            statistics.paired_ratio(rounds, generator.lognormal(0, 0.1, 20), rounds, generator.lognormal(0, 0.1, 20))
        )
        for _ in range(trials)
    ]
    assert verdicts.count("cannot tell") / trials >= 0.9


@pytest.mark.parametrize(
    "low, high, word",
    [(0.5, 0.9, "faster"), (1.1, 2.0, "slower"), (0.9, 1.1, "cannot tell"), (1.0, 1.2, "cannot tell")],
)
def test_the_verdict(low, high, word):
    assert statistics.verdict(Estimate(1.0, low, high)) == word


def test_quantiles_of_a_known_sample():
    assert statistics.quantiles(numpy.arange(1, 102)) == pytest.approx((91.0, 100.0))
    assert all(math.isnan(value) for value in statistics.quantiles([]))


def test_a_sample_waits_in_proportion_to_all_its_repetitions():
    waited = statistics.waited([100.0, 100.0, 100.0, 100.0], [1, 1, 10, 1], [2.0, 3.0, 20.0, math.nan])
    assert waited.tolist() == [False, True, False, False]


def test_a_group_was_alone_where_others_had_hardly_any_cpu():
    groups = numpy.array([0, 0, 1, 1, 2])
    alone = statistics.alone(groups, [100.0, 100.0, 100.0, 100.0, 100.0], [-5.0, 30.0, 5.0, 50.0, math.nan])
    assert alone.tolist() == [True, False, False]


def test_disturbed_samples_are_left_out_unless_they_are_most_of_a_cell():
    cells = numpy.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    disturbed = numpy.array([True, True, False, False, True, True, True, False, False])
    used, contended = statistics.select(cells, disturbed)
    assert contended.tolist() == [False, True, False]
    assert used.tolist() == [False, False, True, True, True, True, True, True, True]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.floats(0.0, 1e12)), max_size=60))
def test_group_medians_are_the_medians_of_the_groups(pairs):
    groups = numpy.array([group for group, _ in pairs], dtype=numpy.int64)
    values = numpy.array([value for _, value in pairs], dtype=numpy.float64)
    present, medians = statistics.group_medians(groups, values)
    assert present.tolist() == sorted(set(groups.tolist()))
    for group, median in zip(present, medians, strict=True):
        assert median == numpy.median(values[groups == group])


def test_a_million_samples_take_seconds():
    generator = numpy.random.default_rng(1)
    groups = generator.integers(0, 5000, 1_000_000)
    start = time.perf_counter()
    _, medians = statistics.group_medians(groups, generator.random(1_000_000))
    assert time.perf_counter() - start < 5
    assert stats.describe(medians).mean == pytest.approx(0.5, abs=0.01)


def test_the_detectable_difference_is_what_noise_of_that_size_would_mostly_show() -> None:
    random = numpy.random.default_rng(0)
    seen, told = 0, []
    for _ in range(200):
        noise = random.normal(0, 0.05, 30)
        told.append(statistics.detectable(statistics.median_interval(1 + noise)))
    least = float(numpy.median(told))
    for _ in range(200):
        ratio = statistics.median_interval(1 + least + random.normal(0, 0.05, 30))
        seen += statistics.verdict(ratio) == "slower"
    assert 0.65 < seen / 200 < 0.95


def test_the_quick_interval_covers_the_median_as_often_as_it_says() -> None:
    random = numpy.random.default_rng(0)
    covered = 0
    for _ in range(400):
        interval = statistics.ranked_interval(random.exponential(1.0, 21))
        covered += interval.low <= numpy.log(2) <= interval.high
    assert covered / 400 > 0.93


def test_five_values_are_too_few_for_the_quick_interval() -> None:
    assert numpy.isnan(statistics.ranked_interval([1, 2, 3, 4, 5]).low)
    assert not numpy.isnan(statistics.ranked_interval([1, 2, 3, 4, 5, 6]).low)
