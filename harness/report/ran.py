"""What really ran: libraries, pools of threads, graph, layout and settings, by contestant and environment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.report import humanise
from harness.report.view import Row, View, records
from harness.results import Run

#: Facts of the network that have a column of their own.
_SHOWN = ("graph", "layout")


@dataclass(frozen=True)
class Ran:
    """One line of the table. more: more threads worked than were asked for; more_pools: a pool has more. details:
    {name: text}."""

    contestant: str
    mode: str
    environment: str
    asked: str
    working: str
    pools: str
    more: bool
    more_pools: bool
    graph: str
    layout: str
    denormals: str
    tf32: str
    libraries: str
    details: dict[str, str]


def lines(run: Run, seen: View) -> list[Ran]:
    """A line for each contestant in each mode and environment of which the journal says what ran."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for _, name, row in seen.cells():
        if (row["facts"] or {}).get("ran"):
            key = (name, row["mode"] or humanise.NOTHING, str(row["facts"].get("environment") or ""))
            groups.setdefault(key, []).append(row)
    builds = {(row["adapter"], row["environment"]): row["facts"] or {} for row in records(run.environments)}
    return [_line(key, rows, builds.get((rows[0]["adapter"], key[2]), {})) for key, rows in groups.items()]


def differing(lines: Iterable[Ran]) -> list[str]:
    """The settings that are not alike in all lines."""
    names = {"denormals": "whether denormals are flushed", "tf32": "TF32"}
    lines = list(lines)
    return [text for key, text in names.items() if len({getattr(line, key) for line in lines} - {humanise.NOTHING}) > 1]


def _line(key: tuple[str, str, str], rows: list[Row], build: Row) -> Ran:
    facts = [row["facts"]["ran"] for row in rows]
    networks = [one.get("network") or {} for one in facts]
    pools = _most(one.get("pools") or {} for one in facts)
    return Ran(
        contestant=key[0],
        mode=key[1],
        environment=key[2],
        asked=_span(row["threads"] for row in rows),
        working=_span(one.get("working_threads") for one in facts),
        pools=_span(pools.values()),
        more=any(_more(row, [one.get("working_threads")]) for row, one in zip(rows, facts, strict=True)),
        more_pools=any(_more(row, (one.get("pools") or {}).values()) for row, one in zip(rows, facts, strict=True)),
        graph=_words(one.get("graph") for one in networks),
        layout=_words(one.get("layout") for one in networks),
        denormals=_words(_told(build, networks, "flush_denormals")),
        tf32=_words(_told(build, networks, "tf32")),
        libraries=", ".join(dict.fromkeys(name for one in facts for name in one.get("libraries") or {})),
        details=_details(facts, networks, pools),
    )


def _told(build: Row, networks: list[Row], setting: str) -> list[Any]:
    """What a framework and its networks say of a setting. Threads that only call a framework may be set otherwise."""
    return [build.get(setting), *(one.get(setting) for one in networks)]


def _more(row: Row, counts: Iterable[int | None]) -> bool:
    """Whether one of these counts is beyond the threads that were asked for."""
    return row["threads"] is not None and any(count is not None and count > row["threads"] for count in counts)


def _details(facts: list[Row], networks: list[Row], pools: dict[str, int]) -> dict[str, str]:
    libraries = [file for one in facts for files in (one.get("libraries") or {}).values() for file in files]
    variables = {name: value for one in facts for name, value in (one.get("variables") or {}).items()}
    network: dict[str, list[Any]] = {}
    for one in networks:
        for name, value in one.items():
            if name not in _SHOWN and humanise.plain(value) not in network.setdefault(name, []):
                network[name].append(humanise.plain(value))
    texts = {
        "libraries": "; ".join(dict.fromkeys(libraries)),
        "threads of pools": humanise.plain(pools),
        "network": "; ".join(f"{name}: {' or '.join(values)}" for name, values in network.items()),
        "CPU features": _words(" ".join(one.get("cpu_features") or []) for one in facts),
        "variables": " ".join(f"{name}={value}" for name, value in variables.items()),
    }
    return {name: text for name, text in texts.items() if text not in ("", humanise.NOTHING)}


def _most(pools: Iterable[dict[str, int]]) -> dict[str, int]:
    """The largest count of each pool."""
    most: dict[str, int] = {}
    for pool in pools:
        for name, count in pool.items():
            most[name] = max(count, most.get(name, count))
    return most


def _span(counts: Iterable[int | None]) -> str:
    """ "2", or "1 to 4" with a dash."""
    known = sorted({count for count in counts if count is not None})
    return f" {humanise.NOTHING} ".join(dict.fromkeys([str(known[0]), str(known[-1])])) if known else humanise.NOTHING


def _words(values: Iterable[Any]) -> str:
    """What there is of these, once each; yes and no for truth."""
    texts = [{True: "yes", False: "no"}.get(value, str(value)) if value is not None else "" for value in values]
    return ", ".join(dict.fromkeys(text for text in texts if text)) or humanise.NOTHING
