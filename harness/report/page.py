"""The HTML page: one file, no script, nothing fetched."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from harness.measure import statistics
from harness.report import charts, humanise, limits, memory, native, ran, settling, sweeps, verdicts
from harness.report.colours import colour
from harness.report.humanise import known
from harness.report.view import ROOF, STATUSES, Row, Task, View, records, view
from harness.results import Run

#: Facts of the machine, as the page names them.
_MACHINE = (
    ("cpu", "processor"),
    ("physical_cores", "cores"),
    ("logical_cores", "hardware threads"),
    ("usable_cores", "usable by the run"),
    ("governor", "frequency governor"),
    ("memory_bytes", "memory"),
    ("gpus", "GPUs"),
    ("os", "operating system"),
    ("kernel", "kernel"),
    ("virtual", "virtualised"),
    ("load_average", "load before the run"),
    ("variables", "variables"),
)

#: Characters beyond which a fact is folded away.
_LONG = 60

METHOD = (
    "Workers of all frameworks live side by side. In each round every one of them has one turn, in shuffled order, "
    "while the others are stopped, so that drift and noise fall on all alike.",
    "Samples within a round are not independent, so a round's value is the median of its samples, and the median of "
    "the rounds is the figure. Its interval is a BCa bootstrap over rounds (Efron, 1987; scipy.stats.bootstrap) at "
    f"{statistics.CONFIDENCE:.0%} with {statistics.RESAMPLES} resamples and a fixed seed, or a percentile bootstrap "
    f"where BCa is degenerate; with fewer than {statistics.MINIMUM_ROUNDS} rounds there is none.",
    "A ratio is the median over rounds of a cell's value divided by the baseline's value in the same round, with the "
    "same kind of interval. The verdict is “faster” or “slower” where that interval excludes 1. Each verdict stands "
    "alone: among many, about one in twenty of the ties will be called by chance.",
    "p90 and p99 are quantiles over samples, linear between neighbours (Hyndman and Fan's definition 7). Throughput "
    "is the batch divided by the median.",
    "A sample that waited for a CPU for more than "
    f"{statistics.WAIT_LIMIT:.0%} of its time, by the kernel's own count, is kept in the data and left out of the "
    "figures; where that left a cell with fewer than half of its samples, all are used and the cell is called "
    "contended.",
    "The baseline is PyTorch on the same device where it is ok, else the first framework by name that is.",
)


def environment() -> jinja2.Environment:
    """Templates of the package; what they print is escaped in HTML and not in Markdown."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def style() -> str:
    """The style sheet of every page."""
    return resources.files("harness.report").joinpath("templates/style.css").read_text()


def html(run: Run) -> str:
    """The page of a run."""
    seen = view(run)
    problems = seen.problems()
    environments = records(run.environments)
    usable = [row for row in environments if not row["reason"]]
    warmed_up = settling.lines(run, seen)
    what_ran = ran.lines(run, seen)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=run,
            h=humanise,
            style=Markup(style()),
            headline=headline(run, seen),
            warnings=all_warnings(run),
            machine=machine(run),
            about=about(run),
            minimum_rounds=statistics.MINIMUM_ROUNDS,
            waiting=verdicts.waiting(run),
            why=verdicts.why,
            contestants=seen.contestants,
            paint=lambda name: colour(seen.adapter_of.get(name, name or ""), seen.adapter_of.values()),
            tasks=seen.tasks,
            statuses=STATUSES,
            scores=scores(seen),
            problems=problems,
            wrong=[problem for problem in problems if problem.status == "wrong"],
            wrong_cells=sum(len(problem.tasks) for problem in problems if problem.status == "wrong"),
            any_ok=any(row["status"] == "ok" for _, _, row in seen.cells()),
            scopes=[_scope(*scope, seen) for scope in seen.scopes()],
            training=[task for task in seen.tasks if task.scenario == "train"],
            losses=_loss_cards(seen),
            native=native.lines(seen),
            sweeps=_sweeps(seen),
            limits=_limits(seen),
            operations=limits.operations,
            bandwidth=limits.bandwidth,
            settling=warmed_up,
            settling_names=[name for name in seen.adapter_of if any(name in cells for _, cells in warmed_up)],
            contradictions=memory.contradictions(seen),
            floor=memory.floor,
            truth=memory.truth(seen.cells()),
            any_energy=memory.any_energy(seen),
            no_energy=memory.no_energy(run),
            ran=what_ran,
            differing=ran.differing(what_ran),
            environments_ran=len({one.environment for one in what_ran}),
            ease=_ease(usable),
            ease_page=len(run.ease) > 0,
            environments=usable,
            facts_of=_facts,
            missing=[row for row in environments if row["reason"]],
            models=records(run.models),
            method=METHOD,
        )
    )


def headline(run: Run, seen: View) -> str:
    """One sentence: how many of what, where."""
    models = len({task.model for task in seen.tasks})
    adapters = len(set(seen.adapter_of.values()))
    names = [_place(run, row) for _, _, row in seen.cells()]
    where = " and ".join(dict.fromkeys(name for name in names if name)) or "an unknown device"
    return f"{humanise.many(adapters, 'framework')}, {humanise.many(models, 'model')}, on {where}"


def _place(run: Run, row: Row) -> str | None:
    """A device by its name. Frameworks name a CPU each in its own way; the machine knows better."""
    if row["device"] == "cpu" and "cpu" in run.machine and known(run.machine["cpu"].iloc[-1]):
        return str(run.machine["cpu"].iloc[-1])
    name: str | None = row["device_name"] or row["device"]
    return name


def all_warnings(run: Run) -> list[str]:
    """The run's own warnings, and one where cells were disturbed by other processes."""
    contended = int(run.cells["contended"].sum())
    if not contended:
        return run.warnings
    return run.warnings + [
        f"{humanise.many(contended, 'cell')} had to share the CPU for most of the time (“contended”): judge "
        f"{'its' if contended == 1 else 'their'} figures with care."
    ]


def machine(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what is known about the machine; of the last session, where the run was resumed."""
    if run.machine.empty:
        return []
    facts = records(run.machine)[-1]
    lines = []
    for key, name in _MACHINE:
        value = humanise.size(facts.get(key)) if key.endswith("_bytes") else humanise.plain(_gpu_names(facts.get(key)))
        if value not in (humanise.NOTHING, ""):
            lines.append((name, value))
    return lines


def _gpu_names(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return [item["name"] for item in value]
    return value


def about(run: Run) -> list[tuple[str, str]]:
    """(name, value) of what was asked for."""
    facts, cells = run.facts, run.cells
    wanted = (
        ("started", facts.get("started") or facts.get("at")),
        ("suite", facts.get("suite")),
        ("seed", facts.get("seed")),
        ("arguments", _given(facts.get("arguments"))),
        ("precision", ", ".join(sorted(cells["precision"].dropna().unique()))),
        ("threads", ", ".join(map(str, sorted(cells["threads"].dropna().unique())))),
        ("harness", facts.get("harness_version")),
    )
    return [(name, humanise.plain(value)) for name, value in wanted if value not in (None, "", {}, [])]


def _given(arguments: Any) -> Any:
    """Arguments of the command line, without those that were left alone."""
    if isinstance(arguments, dict):
        return {key: value for key, value in arguments.items() if value not in (None, "", 0, []) and key != "suite"}
    return arguments


def scores(seen: View) -> list[Row]:
    """How many cells of each contestant have which status."""
    lines = []
    for contestant in seen.contestants:
        rows = [row for _, name, row in seen.cells() if name == contestant]
        statuses = Counter(row["status"] for row in rows)
        lines.append({"contestant": contestant, "version": _versions(rows), "statuses": statuses})
    return lines


def _versions(rows: list[Row]) -> str:
    """A framework's version; where its scenarios run different ones, each with the scenarios that it ran."""
    scenarios: dict[str, list[str]] = {}
    for row in rows:
        if row["framework_version"]:
            scenarios.setdefault(row["framework_version"], []).append(row["scenario"])
    if len(scenarios) < 2:
        return humanise.plain(next(iter(scenarios), None))
    return ", ".join(f"{version} ({', '.join(dict.fromkeys(ran))})" for version, ran in scenarios.items())


def _verdicts(tasks: list[Task], seen: View) -> list[Row]:
    """How often each contestant was faster, slower, ...; empty where there is nobody to compare with."""
    if len(seen.contestants) < 2:
        return []
    lines = []
    for contestant in seen.contestants:
        rows = [task.cells[contestant] for task in tasks if contestant in task.cells]
        lines.append({"contestant": contestant, "verdicts": Counter(row["verdict"] or "no time" for row in rows)})
    return lines


def _scope(name: str, title: str, text: str, tasks: list[Task], seen: View) -> dict[str, Any]:
    domain = charts.ratio_domain(tasks)
    by_model: dict[str, list[Task]] = {}
    for task in tasks:
        by_model.setdefault(task.model, []).append(task)
    baselines = sorted({row["baseline"] for task in tasks for row in task.cells.values() if row["baseline"]})
    return {
        "name": name,
        "id": f"scope-{name}",
        "title": title,
        "text": text,
        "baseline": f"Baseline: {', '.join(baselines)}." if baselines else "",
        "tasks": tasks,
        "has_memory": any(row["peak_host_bytes"] is not None for task in tasks for row in task.cells.values()),
        "has_energy": any(row["joules_per_step"] is not None for task in tasks for row in task.cells.values()),
        "has_floor": any(row["floor_bytes"] is not None for task in tasks for row in task.cells.values()),
        "verdicts": _verdicts(tasks, seen),
        "own_cost": _own_cost(name, seen),
        "cards": [
            _card(model, charts.ratio_chart(group, seen, domain), f"{model}: ratios, {title.lower()}")
            for model, group in by_model.items()
        ],
        "cold": [
            _card(task.name, charts.cold_chart(task), f"{task.name}: phases of the cold start")
            for task in tasks
            if any(row["import_ns"] for row in task.cells.values())
        ],
    }


def _card(title: str, chart: Any, description: str) -> dict[str, Any]:
    return {"title": title, "svg": Markup(charts.svg(chart, description))}


def _loss_cards(seen: View) -> list[dict[str, Any]]:
    drawn = [(task, charts.loss_chart(task, seen)) for task in seen.tasks if task.scenario == "train"]
    return [_card(task.name, chart, f"{task.name}: losses of the first steps") for task, chart in drawn if chart]


def _sweeps(seen: View) -> list[dict[str, Any]]:
    """By axis and clock: a card for each sweep."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for sweep in sweeps.find(seen):
        words = f"{sweep.title}: throughput and memory against {sweep.along}"
        groups.setdefault((sweep.along, sweep.scope), []).append(_card(sweep.title, sweeps.chart(sweep, seen), words))
    return [{"along": along, "scope": scope, "cards": cards} for (along, scope), cards in groups.items()]


def _limits(seen: View) -> dict[str, Any]:
    """Everything of the section on the machine's limits."""
    scopes = []
    for scope, tasks in limits.shown(seen).items():
        drawn = [(words, limits.chart(tasks, seen, share)) for share, words in limits.SHARES.items()]
        cards = [
            _card(words.capitalize(), chart, f"{words} per task, {scope} clock") for words, chart in drawn if chart
        ]
        scopes.append({"name": scope, "tasks": tasks, "cards": cards})
    return {
        "roofs": limits.roofs(seen),
        "impossible": limits.impossible(seen),
        "impossible_share": limits.IMPOSSIBLE,
        "cached": limits.cached(seen),
        "scopes": scopes,
    }


def _ease(environments: list[Row]) -> list[tuple[str, str, list[str]]]:
    """What each environment costs to have. All else about ease of use is on a page of its own."""
    return [
        (
            made["adapter"],
            made["environment"],
            [
                humanise.count(made["packages"]),
                humanise.size(made["bytes_on_disk"]),
                humanise.seconds(made["install_seconds"]),
                humanise.seconds(made["import_seconds"]),
            ],
        )
        for made in environments
    ]


def _facts(facts: Row | None) -> tuple[str, Row]:
    """An environment's facts: the short ones in a line, the long ones by name."""
    texts = {key: humanise.plain(value) for key, value in (facts or {}).items()}
    long = {key: text for key, text in texts.items() if len(text) > _LONG or key == "versions"}
    return humanise.plain({key: text for key, text in texts.items() if key not in long}), long


def _own_cost(scope: str, seen: View) -> list[dict[str, Any]]:
    """The null adapter's figures by one clock, and what share they are of the fastest framework's."""
    lines = []
    for row in seen.null:
        if row["clock_scope"] != scope or row["median_ns"] is None or row["scenario"] == ROOF:
            continue
        rivals = [task for task in seen.tasks if _same_task(task, row)]
        times = [cell["median_ns"] for task in rivals for cell in task.cells.values() if cell["median_ns"]]
        share = f"{humanise.digits(100 * row['median_ns'] / min(times), 2)} %" if times else humanise.NOTHING
        name = rivals[0].name if rivals else f"{row['model']} · {row['scenario']} · batch {row['batch']}"
        lines.append({"task": name, "row": row, "share": share})
    return lines


def _same_task(task: Task, row: Row) -> bool:
    return all(
        task.first[key] == row[key] for key in ("comparison", "model", "scenario", "batch", "device", "clock_scope")
    )
