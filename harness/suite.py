"""A suite: what to compare and how long to measure, read from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError, did_you_mean
from harness.paths import SUITES
from harness.scenarios import SCENARIOS

T = TypeVar("T")

CLOCK_SCOPES = ("device", "call")


@dataclass(frozen=True)
class Settings:
    """How a comparison is measured. Times in seconds.

    warm_up: at most, per cell before its first turn; it ends when the steps have settled. turn: samples of one cell in
    one round. sample: the least length of one sample. comparison: all timed rounds together; rounds go on until it is
    spent and `min_rounds` are done, never beyond `max_rounds`. precision: rounds end early where half the interval of
    every ratio is at most this share of it; 0 for as many rounds as there is time for. timeout: for any one request to
    a worker.
    """

    warm_up_seconds: float = 1.0
    turn_seconds: float = 0.04
    sample_seconds: float = 0.001
    comparison_seconds: float = 4.0
    min_rounds: int = 7
    max_rounds: int = 60
    timeout_seconds: float = 300.0
    precision: float = 0.0


@dataclass(frozen=True)
class Comparisons:
    """One table of a suite: every combination of its lists is a comparison. modes: empty for each adapter's default.
    threads: 0 for all cores. cudnn: with and without, on a CUDA device. thorough: of ease, also what has to be run,
    installed and resolved, which takes minutes."""

    scenario: str
    models: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1,)
    clock_scopes: tuple[str, ...] = ("device",)
    modes: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("fp32",)
    threads: tuple[int, ...] = (0,)
    cudnn: tuple[bool, ...] = (True,)
    repeats: int = 3
    thorough: bool = True


@dataclass(frozen=True)
class Suite:
    name: str
    title: str
    settings: Settings
    comparisons: tuple[Comparisons, ...] = field(default=())


def names() -> list[str]:
    """The suites that come with the harness."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load(name: str) -> Suite:
    """A suite by its name or by the path of its file. Raises HarnessError for a mistake in it, naming the key."""
    path = SUITES / f"{name}.toml"
    if name not in names():
        path = Path(name)
        if path.suffix != ".toml":
            raise HarnessError(f"unknown suite {name!r}", did_you_mean(name, names()) + " or the path of a .toml file")
    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise HarnessError(f"{path}: there is no such suite file", f"Suites: {', '.join(names())}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: not valid TOML: {error}") from None
    _check_keys(document, {"title", "settings", "comparisons"}, str(path))
    settings = _made(Settings, document.get("settings", {}), f"{path}: settings")
    tables = document.get("comparisons", [])
    comparisons = tuple(_made(Comparisons, table, f"{path}: comparisons[{i}]") for i, table in enumerate(tables))
    for index, table in enumerate(comparisons):
        _check_comparisons(table, f"{path}: comparisons[{index}]")
    return Suite(path.stem, str(document.get("title", path.stem)), settings, comparisons)


def _made(kind: type[T], table: dict[str, Any], where: str) -> T:
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    _check_keys(table, set(known), where)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for key, value in values.items():
        default = known[key].default
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise HarnessError(f"{where}: {key} must be true or false; it is {value!r}")
            continue
        if isinstance(default, tuple) and not isinstance(value, tuple):
            raise HarnessError(f"{where}: {key} must be a list", f"Write {key} = [{value!r}]")
        if isinstance(default, int | float) and (not isinstance(value, int | float) or value < 0):
            raise HarnessError(f"{where}: {key} must be a number, 0 or more; it is {value!r}")
    try:
        return kind(**values)
    except TypeError as error:
        raise HarnessError(f"{where}: {error}") from None


def _check_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise HarnessError(f"{where}: unknown key {key!r}", did_you_mean(key, sorted(known)))


def _check_comparisons(table: Comparisons, where: str) -> None:
    if table.scenario not in SCENARIOS:
        raise HarnessError(f"{where}: unknown scenario {table.scenario!r}", did_you_mean(table.scenario, SCENARIOS))
    for scope in table.clock_scopes:
        if scope not in CLOCK_SCOPES:
            raise HarnessError(f"{where}: unknown clock scope {scope!r}", did_you_mean(scope, list(CLOCK_SCOPES)))
    for batch in table.batches:
        if not isinstance(batch, int) or batch < 1:
            raise HarnessError(f"{where}: a batch is a whole number, 1 or more; not {batch!r}")
