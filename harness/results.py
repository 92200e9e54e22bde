"""From a journal to pandas frames: what `harness.load` returns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas

from harness import journal, matrix
from harness.errors import HarnessError, did_you_mean
from harness.journal import Fact
from harness.kit import wire
from harness.measure import roofline, statistics
from harness.measure.statistics import Estimate

#: The adapter that does nothing: its time is the harness's own, so it is compared with nobody.
NULL_ADAPTER = "null"

#: The phases whose time is the cell's time.
MAIN_PHASES = ("timed", "total")
COLD_PHASES = ("spawn", "import", "load", "first_result")

_TEXT, _COUNT, _FLOAT, _FLAG, _OBJECT = "string", "Int64", "float64", "boolean", "object"

#: Columns of `Run.cells`, in their order. Times are nanoseconds of one step; a cell that is not ok shows none.
CELL_COLUMNS = {
    "cell": _TEXT,
    "comparison": _TEXT,
    "adapter": _TEXT,
    "framework_version": _TEXT,
    "device": _TEXT,
    "device_name": _TEXT,
    "model": _TEXT,
    "model_sha256": _TEXT,
    "scenario": _TEXT,
    "purpose": _TEXT,
    "mode": _TEXT,
    "precision": _TEXT,
    "layout": _TEXT,
    "cudnn": _FLAG,
    "batch": _COUNT,
    "threads": _COUNT,
    "clock_scope": _TEXT,
    "status": _TEXT,
    "reason": _TEXT,
    "rounds": _COUNT,
    "samples": _COUNT,
    "median_ns": _FLOAT,
    "ci_low_ns": _FLOAT,
    "ci_high_ns": _FLOAT,
    "p90_ns": _FLOAT,
    "p99_ns": _FLOAT,
    "throughput_per_s": _FLOAT,
    "ratio": _FLOAT,
    "ratio_ci_low": _FLOAT,
    "ratio_ci_high": _FLOAT,
    "baseline": _TEXT,
    "verdict": _TEXT,
    "detectable": _FLOAT,
    "contended_samples": _COUNT,
    "peak_host_bytes": _COUNT,
    "peak_allocator_bytes": _COUNT,
    "peak_cgroup_bytes": _COUNT,
    "peak_device_bytes": _COUNT,
    "floor_bytes": _COUNT,
    "contradictions": _OBJECT,
    "max_relative_error": _FLOAT,
    "parameters_trained": _COUNT,
    "flops": _COUNT,
    "step_flops": _COUNT,
    "traffic_bytes": _COUNT,
    "flops_per_s": _FLOAT,
    "compute_share": _FLOAT,
    "memory_share": _FLOAT,
    "joules_per_step": _FLOAT,
    "settled": _FLAG,
    "settle_ns": _FLOAT,
    "spawn_ns": _FLOAT,
    "import_ns": _FLOAT,
    "load_ns": _FLOAT,
    "first_result_ns": _FLOAT,
    "contended": _FLAG,
    "log": _TEXT,
    "facts": _OBJECT,
}

ENVIRONMENT_COLUMNS = {
    "adapter": _TEXT,
    "environment": _TEXT,
    "device": _TEXT,
    "reason": _TEXT,
    "framework_version": _TEXT,
    "python": _TEXT,
    "lock": _TEXT,
    "packages": _COUNT,
    "bytes_on_disk": _COUNT,
    "install_seconds": _FLOAT,
    "import_seconds": _FLOAT,
    "facts": _OBJECT,
}

EASE_COLUMNS = {
    "adapter": _TEXT,
    "metric": _TEXT,
    "task": _TEXT,
    "value": _FLOAT,
    "unit": _TEXT,
    "source": _TEXT,
}

PROGRAM_COLUMNS = {
    "adapter": _TEXT,
    "environment": _TEXT,
    "task": _TEXT,
    "outcome": _TEXT,
    "reason": _TEXT,
    "seconds": _FLOAT,
    "warnings": _COUNT,
    "extra_packages": _COUNT,
    "text": _TEXT,
    "log": _TEXT,
}

MISTAKE_COLUMNS = {
    "adapter": _TEXT,
    "mistake": _TEXT,
    "way": _TEXT,
    "moment": _TEXT,
    "names_operator": _FLAG,
    "names_shapes": _FLAG,
    "names_line": _FLAG,
    "lines": _COUNT,
    "frames": _COUNT,
    "user_frames": _COUNT,
    "message": _TEXT,
    "traceback": _TEXT,
    "reason": _TEXT,
}

WORKAROUND_COLUMNS = {
    "adapter": _TEXT,
    "file": _TEXT,
    "line": _COUNT,
    "reason": _TEXT,
}

CONFORMANCE_COLUMNS = {
    "adapter": _TEXT,
    "framework_version": _TEXT,
    "device": _TEXT,
    "mode": _TEXT,
    "group": _TEXT,
    "case": _TEXT,
    "operator": _TEXT,
    "outcome": _TEXT,
    "reason": _TEXT,
    "refused": _TEXT,
    "road": _TEXT,
    "rewritten": _OBJECT,
    "seconds": _FLOAT,
}

MODEL_COLUMNS = {
    "model": _TEXT,
    "sha256": _TEXT,
    "purpose": _TEXT,
    "batch": _COUNT,
    "parameters": _COUNT,
    "flops": _COUNT,
}

_TIMES = [name for name in CELL_COLUMNS if name.endswith("_ns") and name != "settle_ns"]
_COMPARED = ["ratio", "ratio_ci_low", "ratio_ci_high", "detectable"]


#: Frames that are written for every run, and those that are written where they hold something.
_ALWAYS = ("cells", "samples", "ease", "environments", "machine", "models")
_IF_THERE = ("conformance", "programs", "mistakes", "workarounds")


@dataclass(frozen=True)
class Run:
    """One run, as pandas frames. Units are in the names of columns.

    cells: one row per cell; `median_ns` is the median over rounds of a round's median sample, with its 95 %
    interval; p90 and p99 are over samples; `samples` counts the timed ones and `contended_samples` those of them
    that waited for a CPU, which are left out of the figures unless the cell is `contended`; `ratio` is the
    cell's time over the baseline's; `detectable` the least difference from 1 that data as noisy as these would most
    likely have shown; `settle_ns` how long the steps took to settle; the shares are of what the machine can do at most
    (`measure.roofline`). samples: one row per sample, all of them; `used` ones made the figures.
    conformance: one row per case of the board and adapter: its outcome, the operator that an adapter refused, and by
    which road the operators reached the framework. ease: one row per figure of ease of use (`harness.ease.wide` makes
    one per adapter); programs, mistakes, workarounds: what was run and seen for them. facts: the journal's line of kind
    "run".
    """

    path: Path
    name: str
    facts: Fact
    cells: pandas.DataFrame
    samples: pandas.DataFrame
    ease: pandas.DataFrame
    programs: pandas.DataFrame
    mistakes: pandas.DataFrame
    workarounds: pandas.DataFrame
    conformance: pandas.DataFrame
    environments: pandas.DataFrame
    machine: pandas.DataFrame
    models: pandas.DataFrame
    warnings: list[str]

    def save(self) -> list[Path]:
        """Write every frame as Parquet and CSV into the run's folder; the paths written."""
        written = []
        for name in (*_ALWAYS, *_IF_THERE):
            frame = _flat(getattr(self, name))
            if name in _IF_THERE and frame.empty:
                continue
            for suffix, write in (("parquet", _write_parquet), ("csv", _write_csv)):
                path = self.path / f"{name}.{suffix}"
                write_atomically(path, lambda file, write=write, frame=frame: write(frame, file))  # type: ignore[misc]
                written.append(path)
        return written


def load(path: Path | str) -> Run:
    """The run in a folder such as "reports/NAME". Raises HarnessError where there is none, or it is damaged."""
    folder = find(path)
    facts = journal.read(folder)
    run = next((fact for fact in facts if fact["kind"] == "run"), {})
    samples = _samples(facts)
    return Run(
        path=folder,
        name=run.get("name") or folder.name,
        facts=run,
        cells=_cells(facts, samples),
        samples=samples,
        ease=_frame(_latest(facts, "ease", "adapter", "metric", "task"), EASE_COLUMNS),
        programs=_frame(_latest(facts, "program", "adapter", "task"), PROGRAM_COLUMNS),
        mistakes=_frame(_latest(facts, "mistake", "adapter", "mistake"), MISTAKE_COLUMNS),
        workarounds=_frame(_latest(facts, "workaround", "adapter", "file", "line"), WORKAROUND_COLUMNS),
        conformance=_frame(_latest(facts, "conformance", "adapter", "mode", "group", "case"), CONFORMANCE_COLUMNS),
        environments=_frame(_latest(facts, "environment", "adapter", "environment"), ENVIRONMENT_COLUMNS),
        machine=pandas.DataFrame([_without_kind(fact) for fact in facts if fact["kind"] == "machine"]),
        models=_frame(_latest(facts, "model", "model", "purpose", "batch"), MODEL_COLUMNS, others=True),
        warnings=_warnings(facts),
    )


def find(path: Path | str) -> Path:
    """The folder of a run: as given, or of that name in reports/. Raises HarnessError with the runs that there are."""
    given = Path(path)
    if given.name == journal.FILE_NAME:
        given = given.parent
    for folder in (given, Path("reports") / given):
        if (folder / journal.FILE_NAME).is_file():
            return folder
    beside = given.parent if given.parent != Path() else Path("reports")
    runs = sorted(entry.parent.name for entry in beside.glob(f"*/{journal.FILE_NAME}"))
    what = "holds no journal" if given.is_dir() else "does not exist"
    raise HarnessError(f"{given} is not a run: it {what}", f"In {beside}/: {did_you_mean(given.name, runs)}.")


def _warnings(facts: list[Fact]) -> list[str]:
    texts = [str(fact.get("text", "")) for fact in facts if fact["kind"] == "warning"]
    ends = [fact["kind"] for fact in facts if fact["kind"] in ("run", "resume", "run_end")]
    if ends and ends[-1] != "run_end":
        texts.append("The run did not reach its end; --resume goes on with it.")
    return list(dict.fromkeys(texts))


def _without_kind(fact: Fact) -> Fact:
    return {key: value for key, value in fact.items() if key != "kind"}


def _latest(facts: Iterable[Fact], kind: str, *keys: str) -> list[Fact]:
    """The facts of a kind, each replaced by the last one with the same keys, in the order of their first."""
    latest: dict[tuple[Any, ...], Fact] = {}
    for fact in facts:
        if fact["kind"] == kind:
            latest[tuple(fact.get(key) for key in keys)] = fact
    return list(latest.values())


def _frame(rows: list[Fact], columns: dict[str, str], others: bool = False) -> pandas.DataFrame:
    """A frame with these columns and types; with others, whatever else the rows hold after them."""
    frame = pandas.DataFrame({name: _column(name, dtype, rows) for name, dtype in columns.items()})
    if others:
        for name in dict.fromkeys(key for row in rows for key in row if key not in {*columns, "kind", "at"}):
            frame[name] = pandas.Series([row.get(name) for row in rows], dtype=_OBJECT)
    return frame


def _column(name: str, dtype: str, rows: list[Fact]) -> pandas.Series[Any]:
    values = [row.get(name) for row in rows]
    try:
        if dtype == _FLOAT:
            return pandas.Series(numpy.array(values, dtype=numpy.float64))  # None becomes NaN
        return pandas.Series(values, dtype=dtype)
    except (ValueError, TypeError) as error:
        raise HarnessError(f"The journal has a wrong value for {name!r}: {error}", "Correct or remove it.") from None


# Samples


def _samples(facts: list[Fact]) -> pandas.DataFrame:
    """One row per sample: all of them, with `waited` and `used` filled in."""
    turns: list[Fact] = []
    session = 0
    for fact in facts:
        if fact["kind"] == "resume":
            session += 1
        elif fact["kind"] == "samples" and fact.get("ns"):
            turns.append({**fact, "session": session})
    lengths = [len(turn["ns"]) for turn in turns]

    def per_turn(name: str, dtype: str) -> pandas.Series[Any]:
        return _column(name, dtype, turns).repeat(lengths).reset_index(drop=True)

    frame = pandas.DataFrame(
        {
            "cell": per_turn("cell", _TEXT),
            "session": per_turn("session", _COUNT),
            "round": per_turn("round", _COUNT),
            "order": per_turn("order", _COUNT),
            "phase": per_turn("phase", _TEXT).fillna("timed"),
            "repetitions": per_turn("repetitions", _COUNT).fillna(1),
            "sample": _joined([numpy.arange(length) for length in lengths]).astype(numpy.int64),
            "ns": _per_sample("ns", turns, lengths),
            "waited_ns": _per_sample("waited_ns", turns, lengths),
            "involuntary_switches": _per_sample("involuntary_switches", turns, lengths),
        }
    )
    frame["waited"] = statistics.waited(
        frame["ns"], frame["repetitions"].to_numpy(dtype=numpy.float64), frame["waited_ns"]
    )
    frame["used"] = frame["contended"] = False
    if len(frame):
        groups = frame.groupby(["cell", "phase"], sort=False).ngroup().to_numpy()
        first = frame["sample"].eq(0).to_numpy()
        lengths_ns, others_ns = (_column(name, _FLOAT, turns).to_numpy() for name in ("turn_ns", "others_ns"))
        frame["waited"] &= ~statistics.alone(groups[first], lengths_ns, others_ns)[groups]
        used, contended = statistics.select(groups, frame["waited"].to_numpy())
        frame["used"] = used & (frame["phase"] != "warmup").to_numpy(dtype=bool) & frame["ns"].notna().to_numpy()
        frame["contended"] = contended[groups]
    return frame


def _per_sample(name: str, turns: list[Fact], lengths: list[int]) -> numpy.ndarray[Any, Any]:
    """One number per sample; NaN where a turn says nothing or not as many as it has samples."""
    pieces = []
    for turn, length in zip(turns, lengths, strict=True):
        values = turn.get(name) or []
        known = len(values) == length
        pieces.append(numpy.array(values, numpy.float64) if known else numpy.full(length, numpy.nan))
    return _joined(pieces)


def _joined(pieces: list[numpy.ndarray[Any, Any]]) -> numpy.ndarray[Any, Any]:
    return numpy.concatenate(pieces) if pieces else numpy.empty(0)


# Cells


def _cells(facts: list[Fact], samples: pandas.DataFrame) -> pandas.DataFrame:
    rows = {fact["cell"]: dict(fact) for fact in _latest(facts, "cell", "cell") if fact.get("cell")}
    for name in samples["cell"].dropna().unique():
        rows.setdefault(name, {"cell": name})
    for row in rows.values():
        if not row.get("status"):
            row.update(status="failed", reason="interrupted")
    named = {name: row.pop("baseline", None) for name, row in rows.items()}
    cells = _frame(list(rows.values()), CELL_COLUMNS)
    if len(cells):
        rounds = _rounds(samples)
        _count(cells, samples)
        _time(cells, samples, rounds)
        _compare(cells, rounds, named)
        hidden = cells["status"].ne("ok")
        cells.loc[hidden, [*_TIMES, *_COMPARED, "throughput_per_s"]] = numpy.nan
        cells.loc[hidden, ["baseline", "verdict"]] = pandas.NA
        roofline.fill(cells, NULL_ADAPTER)
    return cells


@dataclass(frozen=True)
class _Rounds:
    """The median of each round of one cell and phase: `numbers` are unique in the run, `values` in nanoseconds."""

    numbers: statistics.Integers
    values: statistics.Floats


def _rounds(samples: pandas.DataFrame) -> dict[tuple[str, str], _Rounds]:
    """By (cell, phase). Rounds of a run that was resumed are told apart by their session."""
    used = samples[samples["used"]]
    if used.empty:
        return {}
    grouped = used.groupby(["cell", "phase"], sort=False)
    keys = list(grouped.groups)
    cell_phase = grouped.ngroup().to_numpy()
    number = used["round"].fillna(0).to_numpy(dtype=numpy.int64)
    span = int(number.max()) + 1
    number = number + used["session"].to_numpy(dtype=numpy.int64) * span
    all_numbers = int(number.max()) + 1
    present, medians = statistics.group_medians(cell_phase * all_numbers + number, used["ns"].to_numpy())
    owners = present // all_numbers
    bounds = numpy.searchsorted(owners, numpy.arange(len(keys) + 1))
    return {
        key: _Rounds(present[start:end] % all_numbers, medians[start:end])
        for key, start, end in zip(keys, bounds, bounds[1:], strict=False)
    }


def _main(cell: str, rounds: dict[tuple[str, str], _Rounds]) -> _Rounds:
    for phase in MAIN_PHASES:
        if (cell, phase) in rounds:
            return rounds[cell, phase]
    return _Rounds(numpy.empty(0, numpy.int64), numpy.empty(0))


def _count(cells: pandas.DataFrame, samples: pandas.DataFrame) -> None:
    main = samples[samples["phase"].isin(MAIN_PHASES)].groupby("cell")
    cells["samples"] = cells["cell"].map(main.size()).fillna(0).astype(_COUNT)
    cells["contended_samples"] = cells["cell"].map(main["waited"].sum()).fillna(0).astype(_COUNT)
    cells["contended"] = cells["cell"].map(main["contended"].any()).astype(_FLAG).fillna(False)


def _time(cells: pandas.DataFrame, samples: pandas.DataFrame, rounds: dict[tuple[str, str], _Rounds]) -> None:
    main = samples[samples["used"] & samples["phase"].isin(MAIN_PHASES)]
    ns_of = {name: group.to_numpy() for name, group in main.groupby("cell")["ns"]}
    rows = []
    for cell, status in zip(cells["cell"], cells["status"], strict=True):
        values = _main(cell, rounds).values
        timed = status == "ok"
        middle = statistics.median_interval(values if timed else [])
        p90, p99 = statistics.quantiles(ns_of.get(cell, []) if timed else [])
        phases = [
            numpy.median(rounds[cell, phase].values) if (cell, phase) in rounds else numpy.nan for phase in COLD_PHASES
        ]
        rows.append([len(values), middle.value, middle.low, middle.high, p90, p99, *phases])
    figures = pandas.DataFrame(rows, columns=["rounds", *_TIMES])
    cells["rounds"] = figures.pop("rounds").astype(_COUNT)
    cells[_TIMES] = figures
    cells["throughput_per_s"] = cells["batch"].astype("Float64").to_numpy(_FLOAT, na_value=numpy.nan) / (
        cells["median_ns"] * 1e-9
    )


def _compare(cells: pandas.DataFrame, rounds: dict[tuple[str, str], _Rounds], named: dict[str, str | None]) -> None:
    """Fill in ratios, verdicts and baselines, within each comparison on one device and clock."""
    compared = ["comparison", "model", "scenario", "batch", "device", "clock_scope"]
    for _, group in cells.groupby(compared, sort=False, dropna=False):
        candidates = group[group["status"].eq("ok") & group["adapter"].ne(NULL_ADAPTER)]
        baseline = _baseline(candidates, named)
        if baseline is None:
            continue
        base = _main(cells.at[baseline, "cell"], rounds)
        native = " native" if str(cells.at[baseline, "mode"]) == wire.NATIVE_MODE else ""
        cells.loc[candidates.index, "baseline"] = cells.at[baseline, "adapter"] + native
        for row in candidates.index:
            here = _main(cells.at[row, "cell"], rounds)
            ratio = statistics.paired_ratio(here.numbers, here.values, base.numbers, base.values)
            if row == baseline:
                ratio = Estimate(1.0, 1.0, 1.0)
            least = statistics.detectable(ratio) if row != baseline else numpy.nan
            cells.loc[row, _COMPARED] = [ratio.value, ratio.low, ratio.high, least]
            disturbed = bool(cells.at[row, "contended"] or cells.at[baseline, "contended"])
            verdict = statistics.CANNOT_TELL if disturbed else statistics.verdict(ratio)
            cells.loc[row, "verdict"] = "baseline" if row == baseline else verdict


def _baseline(candidates: pandas.DataFrame, named: dict[str, str | None]) -> Any:
    """The row to compare with: of the adapter that the journal names, else of torch, else the first by name."""
    timed = candidates[candidates["median_ns"].notna()]
    if timed.empty:
        return None
    wishes = {named.get(cell) for cell in timed["cell"]} - {None}
    for wish in sorted(str(name) for name in wishes):
        rows = timed.index[timed["adapter"].eq(wish)]
        if len(rows):
            return rows[0]
    contestants = list(zip(timed["adapter"], timed["mode"].fillna(""), strict=True))
    return timed.index[matrix.baseline(contestants)]


# Files


def _flat(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Cells that hold lists or tables become JSON text, which Parquet and CSV can hold."""
    flat = frame.copy()
    for name in flat.columns:
        if flat[name].dtype == object:
            flat[name] = pandas.Series([_text(value) for value in flat[name]], index=flat.index, dtype=_TEXT)
    return flat


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and numpy.isnan(value)):
        return None
    return json.dumps(value)


def _write_parquet(frame: pandas.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _write_csv(frame: pandas.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file: a reader sees the old one or the new one, never half of one."""
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(unfinished)
        unfinished.replace(path)
    except OSError as error:
        raise HarnessError(
            f"{path} cannot be written: {error.strerror or error}",
            "Make room, check the folder's permissions, or name another place.",
        ) from None
    finally:
        if unfinished.exists():
            unfinished.unlink()
