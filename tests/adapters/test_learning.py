"""lenet5 learns real digits in every framework, and all learn alike."""

from __future__ import annotations

import json

from learning import CURVE, distances, learn


def test_lenet5_learns_mnist_along_the_curve_that_all_frameworks_share(adapter, device, site_for, tmp_path) -> None:
    mode = adapter.modes[0]
    learned = learn(site_for("train"), site_for("infer"), adapter.layout, mode, device, tmp_path)
    assert learned.accuracy >= 0.95
    early, rounds = distances(learned.losses, json.loads(CURVE.read_text()))
    assert early < 1e-4
    assert rounds < 0.03
