"""Every figure is held against what the same machine did at most in the same run."""

from __future__ import annotations

import pandas
import pytest

from harness.measure import roofline


def cells(*rows: dict[str, object]) -> pandas.DataFrame:
    common = {
        "device": "cpu", "device_name": "x", "threads": 2, "precision": "fp32", "clock_scope": "device",
        "scenario": "infer", "model": "m", "step_flops": 1000, "traffic_bytes": 100, "median_ns": 1000.0,
    }  # fmt: skip
    frame = pandas.DataFrame([{**common, **row} for row in rows])
    roofline.fill(frame, "null")
    return frame


def test_shares_are_of_the_best_that_any_framework_did() -> None:
    frame = cells(
        {"adapter": "torch", "scenario": "roof", "model": "gemm", "median_ns": 100.0},
        {"adapter": "mxnet", "scenario": "roof", "model": "gemm", "median_ns": 200.0},
        {"adapter": "torch", "scenario": "roof", "model": "stream", "median_ns": 500.0},
        {"adapter": "mxnet"},
    )
    assert frame["compute_share"].tolist() == pytest.approx([1.0, 0.5, 0.2, 0.1])
    assert frame["memory_share"].iloc[3] == pytest.approx(0.5)
    assert frame["flops_per_s"].iloc[3] == pytest.approx(1e9)


def test_what_computes_nothing_is_no_roof_and_has_no_share() -> None:
    frame = cells(
        {"adapter": "null", "scenario": "roof", "model": "gemm", "median_ns": 1.0},
        {"adapter": "torch", "scenario": "roof", "model": "gemm", "median_ns": 100.0},
    )
    assert pandas.isna(frame["compute_share"].iloc[0]) and frame["compute_share"].iloc[1] == 1.0


@pytest.mark.parametrize("place", [{"device": "cuda"}, {"threads": 1}, {"precision": "bf16"}])
def test_a_roof_of_another_place_does_not_count(place) -> None:
    frame = cells({"adapter": "torch", "scenario": "roof", "model": "gemm", **place}, {"adapter": "torch"})
    assert pandas.isna(frame["compute_share"].iloc[1])


def test_without_a_roof_nothing_is_said() -> None:
    assert cells({"adapter": "torch"})[["compute_share", "memory_share"]].isna().all(axis=None)
