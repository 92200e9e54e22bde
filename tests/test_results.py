"""From journals to frames: what is shown, what is hidden, and what is compared with what."""

import math
import time

import journals
import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import results
from harness.errors import HarnessError
from harness.journal import Journal

TIMES = [name for name in results.CELL_COLUMNS if name.endswith("_ns") or name.startswith(("ratio", "throughput"))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return harness.load(journals.write(tmp_path_factory.mktemp("runs") / "full", interrupted=True, torn=True))


def cell(run, adapter, model="mlp", scenario="infer", batch=1, clock_scope="device"):
    cells = run.cells
    found = cells[
        (cells["adapter"] == adapter)
        & (cells["model"] == model)
        & (cells["scenario"] == scenario)
        & (cells["batch"] == batch)
        & (cells["clock_scope"] == clock_scope)
    ]
    assert len(found) == 1
    return found.iloc[0]


def journal_of(folder, ns_of, status="ok", scope="device", **facts):
    """A journal with one comparison: {adapter: per round the samples, or None where it took no turn}."""
    with Journal.create(folder) as book:
        for adapter, rounds in ns_of.items():
            for number, ns in enumerate(rounds):
                if ns is not None:
                    book.append("samples", cell=adapter, round=number, order=0, repetitions=1, ns=ns, phase="timed")
            identity = {"comparison": "c", "device": "cpu", "model": "m", "scenario": "infer", "batch": 4}
            book.append("cell", cell=adapter, adapter=adapter, clock_scope=scope, status=status, **identity, **facts)
    return harness.load(folder)


def test_the_columns_that_were_promised_stand_in_their_order(run):
    assert list(run.cells.columns) == list(results.CELL_COLUMNS)
    assert {name: str(dtype) for name, dtype in run.cells.dtypes.items()} == results.CELL_COLUMNS


def test_known_figures(tmp_path):
    rounds = [[100.0, 110.0, 900.0], [200.0, 210.0, 220.0], [120.0], [130.0], [140.0]]
    run = journal_of(tmp_path, {"torch": rounds, "mxnet": [[2 * ns for ns in samples] for samples in rounds]})
    torch, mxnet = run.cells.set_index("cell").loc["torch"], run.cells.set_index("cell").loc["mxnet"]
    assert torch["median_ns"] == 130.0 and mxnet["median_ns"] == 260.0
    assert torch["throughput_per_s"] == pytest.approx(4 / 130e-9)
    assert torch["p90_ns"] == pytest.approx(numpy.quantile([100, 110, 900, 200, 210, 220, 120, 130, 140], 0.9))
    assert (mxnet["ratio"], mxnet["ratio_ci_low"], mxnet["ratio_ci_high"], mxnet["verdict"]) == (2, 2, 2, "slower")
    assert (torch["verdict"], torch["ratio"], torch["baseline"], mxnet["baseline"]) == ("baseline", 1, "torch", "torch")
    assert torch["rounds"] == 5 and torch["samples"] == 9


def test_figures_of_the_synthetic_run_are_near_what_it_was_made_from(run):
    for adapter in ("tensorflow", "caffe2", "onnxruntime"):
        assert cell(run, adapter)["ratio"] == pytest.approx(journals.SLOWNESS[adapter], rel=0.05)
        assert cell(run, adapter)["verdict"] == ("faster" if journals.SLOWNESS[adapter] < 1 else "slower")


def test_a_cell_that_is_not_ok_shows_no_time_although_it_has_samples(run):
    hidden = run.cells[run.cells["status"] != "ok"]
    assert set(hidden["status"]) == {"wrong", "unsupported", "failed", "timeout"}
    assert hidden[TIMES].isna().all().all() and hidden["verdict"].isna().all() and hidden["baseline"].isna().all()
    assert (hidden["samples"] > 0).all()
    assert hidden["reason"].notna().all()


def test_an_interrupted_cell_failed(run):
    cells = run.cells[run.cells["batch"] == 128]
    assert set(cells["status"]) == {"failed"} and set(cells["reason"]) == {"interrupted"}
    assert "--resume" in " ".join(run.warnings)


def test_samples_of_a_cell_without_any_line_are_not_ok_either(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("samples", cell="x", round=0, order=0, repetitions=1, ns=[1.0], phase="timed")
    (row,) = harness.load(tmp_path).cells.to_dict("records")
    assert (row["cell"], row["status"], row["reason"], row["samples"]) == ("x", "failed", "interrupted", 1)


def test_a_later_line_of_a_cell_replaces_the_earlier(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("cell", cell="a", adapter="torch", status="failed", reason="crashed", max_relative_error=1.0)
        book.append("cell", cell="a", adapter="torch", status="ok")
    (row,) = harness.load(tmp_path).cells.to_dict("records")
    assert row["status"] == "ok" and pandas.isna(row["reason"]) and math.isnan(row["max_relative_error"])


def test_the_null_adapter_is_compared_with_nobody(run):
    row = cell(run, "null")
    assert row["median_ns"] > 0 and math.isnan(row["ratio"]) and pandas.isna(row["baseline"])
    assert pandas.isna(row["verdict"])


def test_the_baseline_without_torch_is_the_first_by_name_and_never_null(tmp_path):
    rounds = [[1.0]] * 5
    run = journal_of(tmp_path / "a", {"null": rounds, "mxnet": rounds, "caffe2": rounds})
    assert set(run.cells["baseline"].dropna()) == {"caffe2"}
    run = journal_of(tmp_path / "b", {"null": rounds})
    assert run.cells["ratio"].isna().all()
    run = journal_of(tmp_path / "c", {"torch": rounds, "mxnet": rounds, "caffe2": rounds}, baseline="mxnet")
    assert set(run.cells["baseline"].dropna()) == {"mxnet"}


def test_a_wrong_torch_is_no_baseline(tmp_path):
    with Journal.create(tmp_path) as book:
        for adapter, status in (("torch", "wrong"), ("mxnet", "ok"), ("caffe2", "ok")):
            for number in range(6):
                book.append("samples", cell=adapter, round=number, repetitions=1, ns=[10.0], phase="timed")
            book.append("cell", cell=adapter, comparison="c", adapter=adapter, device="cpu", status=status)
    run = harness.load(tmp_path)
    assert set(run.cells["baseline"].dropna()) == {"caffe2"}
    assert run.cells.set_index("adapter").loc["torch", "ratio"] is not None
    assert math.isnan(run.cells.set_index("adapter").loc["torch", "ratio"])


def test_figures_of_different_clocks_are_not_compared(tmp_path):
    with Journal.create(tmp_path) as book:
        for adapter, scope in (("torch", "device"), ("mxnet", "call")):
            book.append("samples", cell=adapter, round=0, repetitions=1, ns=[10.0], phase="timed")
            book.append("cell", cell=adapter, comparison="c", adapter=adapter, clock_scope=scope, status="ok")
    assert harness.load(tmp_path).cells["baseline"].tolist() == ["torch", "mxnet"]


def test_rounds_of_a_resumed_run_are_not_taken_for_earlier_ones(tmp_path):
    """The interrupted session had a turn of mxnet whose round torch never reached."""
    with Journal.create(tmp_path) as book:
        book.append("samples", cell="mxnet", round=0, repetitions=1, ns=[1000.0], phase="timed")
        book.append("resume")
        for number in range(6):
            book.append("samples", cell="mxnet", round=number, repetitions=1, ns=[20.0], phase="timed")
            book.append("samples", cell="torch", round=number, repetitions=1, ns=[10.0], phase="timed")
        for adapter in ("mxnet", "torch"):
            book.append("cell", cell=adapter, comparison="c", adapter=adapter, status="ok")
        book.append("run_end", seconds=1)
    run = harness.load(tmp_path)
    mxnet = run.cells.set_index("cell").loc["mxnet"]
    assert mxnet["rounds"] == 7 and (mxnet["ratio"], mxnet["ratio_ci_high"]) == (2.0, 2.0)
    assert run.warnings == []


def test_samples_that_waited_are_kept_and_left_out(tmp_path):
    with Journal.create(tmp_path) as book:
        for number in range(6):
            book.append(
                "samples", cell="a", round=number, repetitions=10, ns=[10.0, 50.0, 11.0], waited_ns=[0, 400, 0],
                involuntary_switches=[0, 2, 0], phase="timed",
            )  # fmt: skip
            book.append(
                "samples", cell="b", round=number, repetitions=1, ns=[10.0, 50.0], waited_ns=[5, 40], phase="timed"
            )
        for name in "ab":
            book.append("cell", cell=name, comparison="c", adapter=name, status="ok")
    run = harness.load(tmp_path)
    quiet, busy = run.cells.to_dict("records")
    assert (quiet["samples"], quiet["contended_samples"], quiet["contended"]) == (18, 6, False)
    assert quiet["median_ns"] == 10.5 and quiet["p99_ns"] == 11.0
    assert (busy["samples"], busy["contended_samples"], busy["contended"]) == (12, 12, True)
    assert busy["median_ns"] == 30.0
    assert len(run.samples) == 30 and run.samples["used"].sum() == 24


def test_a_cell_that_waits_for_itself_alone_is_not_disturbed(tmp_path):
    with Journal.create(tmp_path) as book:
        for name, others in (("alone", 5), ("beside", 30)):
            for number in range(6):
                book.append(
                    "samples", cell=name, round=number, repetitions=1, ns=[10.0, 50.0, 11.0], waited_ns=[0, 40, 0],
                    phase="timed", turn_ns=71, others_ns=others,
                )  # fmt: skip
            book.append("cell", cell=name, comparison="c", adapter=name, status="ok")
    cells = harness.load(tmp_path).cells.set_index("cell")
    assert cells.contended_samples.to_dict() == {"alone": 0, "beside": 6}


def test_warm_up_is_kept_and_never_counted(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("samples", cell="a", round=0, repetitions=1, ns=[1e9], phase="warmup")
        book.append("samples", cell="a", round=0, repetitions=1, ns=[10.0], phase="timed")
        book.append("cell", cell="a", adapter="torch", status="ok")
    run = harness.load(tmp_path)
    assert run.cells.loc[0, "median_ns"] == 10.0 and run.cells.loc[0, "samples"] == 1 and len(run.samples) == 2


def test_a_cold_start_has_its_phases(run):
    row = cell(run, "tensorflow", scenario="coldstart", clock_scope="cold")
    spawn, imported, load, first = journals.COLD_SECONDS["tensorflow"]
    assert row["import_ns"] / row["load_ns"] == pytest.approx(imported / load)
    assert row["median_ns"] == pytest.approx(row[["spawn_ns", "import_ns", "load_ns", "first_result_ns"]].sum())
    assert row["ratio"] == pytest.approx((spawn + imported + load + first) / sum(journals.COLD_SECONDS["torch"]))
    assert math.isnan(cell(run, "tensorflow")["import_ns"])


def test_the_other_frames(run):
    environments = run.environments.set_index("adapter")
    assert environments.loc["jax", "reason"] == "no Python 3.14 on this machine"
    assert environments.loc["torch", "packages"] == 5 and math.isnan(environments.loc["torch", "install_seconds"])
    assert run.machine.loc[0, "memory_bytes"] == 16 * 2**30
    assert set(run.models["model"]) == set(journals.PARAMETERS)
    assert run.ease.query("adapter == 'torch' and metric == 'adapter_lines'")["value"].item() == 300
    assert (run.name, run.facts["seed"]) == ("synthetic", 7)


def test_frames_on_disk_are_the_frames_in_memory(tmp_path):
    run = harness.load(journals.write(tmp_path / "run", models=("mlp",), rounds=6))
    written = run.save()
    assert {path.name for path in run.path.iterdir()} == {"journal.jsonl", *(path.name for path in written)}
    cells = pandas.read_parquet(run.path / "cells.parquet")
    pandas.testing.assert_series_equal(cells["median_ns"], run.cells["median_ns"])
    assert pandas.read_csv(run.path / "cells.csv")["status"].tolist() == run.cells["status"].tolist()
    assert '"losses"' in cells.loc[cells["scenario"] == "train", "facts"].iloc[0]
    assert len(pandas.read_parquet(run.path / "samples.parquet")) == len(run.samples)
    run.save()


def test_an_empty_journal_is_an_empty_run(tmp_path):
    Journal.create(tmp_path / "run").close()
    run = harness.load(tmp_path / "run")
    assert run.name == "run" and run.cells.empty and run.samples.empty and list(run.cells.columns)
    run.save()


def test_a_name_that_is_no_run_gets_a_suggestion(tmp_path, monkeypatch):
    journals.write(tmp_path / "reports" / "first", models=(), rounds=1)
    for name in (tmp_path / "reports" / "frist", tmp_path / "reports" / "frist" / "journal.jsonl"):
        with pytest.raises(HarnessError, match="Did you mean 'first'"):
            harness.load(name)
    with pytest.raises(HarnessError, match="holds no journal"):
        harness.load(tmp_path / "reports")
    monkeypatch.chdir(tmp_path)
    assert harness.load("first").name == "synthetic"
    assert harness.load("reports/first/journal.jsonl").path.name == "first"
    with pytest.raises(HarnessError, match="Did you mean 'first'"):
        harness.load("frist")


def test_a_wrong_value_in_the_journal_is_named(tmp_path):
    with Journal.create(tmp_path) as book:
        book.append("cell", cell="a", batch="many", status="ok")
    with pytest.raises(HarnessError, match="'batch'"):
        harness.load(tmp_path)


def test_a_full_disk_keeps_the_old_frames(tmp_path, monkeypatch):
    run = harness.load(journals.write(tmp_path / "run", models=("mlp",), rounds=2))
    run.save()
    before = (run.path / "cells.csv").read_bytes()

    def refuse(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pandas.DataFrame, "to_csv", refuse)
    with pytest.raises(HarnessError, match="No space left"):
        run.save()
    assert (run.path / "cells.csv").read_bytes() == before
    assert not [path for path in run.path.iterdir() if path.name.startswith(".")]


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e6), seed=st.integers(0, 10_000))
def test_ratios_do_not_depend_on_the_unit(tmp_path_factory, scale, seed):
    generator = numpy.random.default_rng(seed)
    rounds = {name: generator.lognormal(5, 0.2, (6, 3)) for name in ("torch", "mxnet")}
    plain = journal_of(tmp_path_factory.mktemp("plain"), {name: r.tolist() for name, r in rounds.items()})
    scaled = journal_of(tmp_path_factory.mktemp("scaled"), {name: (r * scale).tolist() for name, r in rounds.items()})
    numpy.testing.assert_allclose(scaled.cells["ratio"], plain.cells["ratio"], rtol=1e-9)
    numpy.testing.assert_allclose(scaled.cells["median_ns"], plain.cells["median_ns"] * scale, rtol=1e-9)


def test_a_large_journal_loads_in_seconds(tmp_path):
    generator = numpy.random.default_rng(0)
    with Journal.create(tmp_path) as book:
        for number in range(20):
            for adapter in ("torch", "mxnet", "caffe2", "tensorflow", "onnxruntime"):
                book.append(
                    "samples", cell=adapter, round=number, repetitions=1, ns=generator.random(5000), phase="timed",
                    waited_ns=[0] * 5000, involuntary_switches=[0] * 5000,
                )  # fmt: skip
        for adapter in ("torch", "mxnet", "caffe2", "tensorflow", "onnxruntime"):
            book.append("cell", cell=adapter, comparison="c", adapter=adapter, status="ok")
    start = time.perf_counter()
    run = harness.load(tmp_path)
    assert len(run.samples) == 500_000 and time.perf_counter() - start < 10
