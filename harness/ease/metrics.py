"""Every metric of ease of use: its unit, which way is easier, and its formula as the report prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: One fact: adapter, metric, task (what the figure is about within the metric), value, unit, source.
Row = dict[str, Any]

LESS, MORE, NEITHER = "less", "more", ""

PROGRAMS, DIAGNOSTICS, STARTING, ADAPTER, STATUS = "programs", "diagnostics", "getting started", "adapter", "status"


@dataclass(frozen=True)
class Metric:
    """easier: "less" or "more" of it is easier, or "" where neither is. task: what its rows' tasks are."""

    name: str
    title: str
    unit: str
    group: str
    easier: str
    task: str
    formula: str


_PROGRAM = "Rosetta task"
_MISTAKE = "planted mistake"
_ENVIRONMENT = "environment"
_PACKAGE = "environment in which the framework's package lies"

METRICS = {
    metric.name: metric
    for metric in (
        # The Rosetta programs, parsed.
        Metric("lines", "lines", "lines", PROGRAMS, LESS, _PROGRAM,
               "source lines that are neither blank, nor comment, nor docstring (radon's sloc)"),
        Metric("statements", "statements", "statements", PROGRAMS, LESS, _PROGRAM,
               "statement nodes of the syntax tree, docstrings left out"),
        Metric("tokens", "tokens", "tokens", PROGRAMS, LESS, _PROGRAM,
               "names, numbers, strings and operators of Python's tokenizer, docstrings left out"),
        Metric("halstead_effort", "Halstead effort", "", PROGRAMS, LESS, _PROGRAM,
               "difficulty times volume (Halstead, 1977) over those tokens: operators are keywords and punctuation, "
               "operands names, numbers and strings"),
        Metric("complexity", "cyclomatic complexity", "", PROGRAMS, LESS, _PROGRAM,
               "decision points plus one for each function and for the module (McCabe, 1976; by radon)"),
        Metric("api_names", "API names", "names", PROGRAMS, LESS, _PROGRAM,
               "distinct dotted names that begin with an import which is neither Python's own nor numpy, and distinct "
               "attributes of objects, such as .backward, that are neither the program's nor Python's own"),
        Metric("imports", "imports", "modules", PROGRAMS, LESS, _PROGRAM, "distinct modules imported"),
        Metric("concepts", "concepts", "concepts", PROGRAMS, LESS, _PROGRAM,
               "kinds of harness/ease/concepts.toml (sessions, graphs, tapes, ...) of which the program uses a name"),
        Metric("device_mentions", "device mentions", "mentions", PROGRAMS, LESS, _PROGRAM,
               "names and strings that concepts.toml lists as naming a device, each time that they stand there"),
        Metric("shape_mentions", "shape mentions", "mentions", PROGRAMS, LESS, _PROGRAM,
               "names that concepts.toml lists as steering shapes, each time that they stand there"),
        # The Rosetta programs, run.
        Metric("done", "done", "yes or no", PROGRAMS, MORE, _PROGRAM,
               "1 where the program ran and its results agree with numpy's in float64; 0 where the framework cannot do "
               "it, or it came out wrong: the source says which"),
        Metric("extra_packages", "extra packages", "packages", PROGRAMS, LESS, _PROGRAM,
               "packages that the program needs beyond those of the framework's environment, by its own lock"),
        Metric("warnings", "warnings printed", "lines", PROGRAMS, LESS, _PROGRAM,
               "lines that it printed to warn when it was run, on standard output or standard error"),
        Metric("run_seconds", "seconds to run", "seconds", PROGRAMS, LESS, _PROGRAM,
               "wall time of one run of the program, interpreter and imports included"),
        # Planted mistakes.
        Metric("caught", "caught", "yes or no", DIAGNOSTICS, MORE, _MISTAKE,
               "1 where an exception, a warning that is about it, or the death of the process told the user; 0 where "
               "all went on in silence"),
        Metric("moment", "moment", "moment", DIAGNOSTICS, LESS, _MISTAKE,
               "when it was noticed: 0 while the net is built, 1 in its first run, 2 later, 3 never"),
        Metric("names_operator", "names what is at fault", "yes or no", DIAGNOSTICS, MORE, _MISTAKE,
               "1 where the message matches `names` of the mistake in harness/ease/mistakes.toml"),
        Metric("names_shapes", "tells expected and got", "yes or no", DIAGNOSTICS, MORE, _MISTAKE,
               "1 where the message matches both `expected` and `got` of the mistake"),
        Metric("names_line", "names the user's line", "yes or no", DIAGNOSTICS, MORE, _MISTAKE,
               "1 where the traceback or the message points to the line that is planted"),
        Metric("traceback_lines", "lines of the traceback", "lines", DIAGNOSTICS, LESS, _MISTAKE,
               "lines that Python prints for it, message included, without lines that only mark a place"),
        Metric("traceback_frames", "frames of the traceback", "frames", DIAGNOSTICS, LESS, _MISTAKE,
               "frames in it, those of causes included"),
        Metric("user_frames", "frames that are the user's", "frames", DIAGNOSTICS, MORE, _MISTAKE,
               "those of them that lie in the user's own file"),
        # Getting started.
        Metric("packages", "packages", "packages", STARTING, LESS, _ENVIRONMENT, "distributions in the environment"),
        Metric("download_bytes", "download", "bytes", STARTING, LESS, _ENVIRONMENT,
               "sizes of the wheels that this platform takes of the lock, as the package index states them, or of the "
               "file where a wheel lies on this disk"),
        Metric("bytes_on_disk", "on disk", "bytes", STARTING, LESS, _ENVIRONMENT,
               "bytes of all files in site-packages, each counted once"),
        Metric("install_cold", "install, cold cache", "seconds", STARTING, LESS, _ENVIRONMENT,
               "uv makes the environment with an empty cache folder of its own, so that everything is downloaded, and "
               "compiles it to bytecode"),
        Metric("install_warm", "install, warm cache", "seconds", STARTING, LESS, _ENVIRONMENT,
               "the same from the cache that this filled; the lesser of two"),
        Metric("import", "import", "seconds", STARTING, LESS, _ENVIRONMENT,
               "a fresh worker's import of the adapter and with it of the framework; numpy and the kit are there "
               "by then"),
        Metric("first_inference", "start to first inference", "seconds", STARTING, LESS, _ENVIRONMENT,
               "from the start of a process to LeNet-5's first result; the least of three"),
        Metric("first_step", "start to first training step", "seconds", STARTING, LESS, _ENVIRONMENT,
               "from the start of a process to the end of LeNet-5's first training step; the least of three"),
        Metric("interpreters", "Python versions with wheels", "versions", STARTING, MORE, _PACKAGE,
               "CPython versions, from 3.7 on, for which uv's resolver finds wheels of the release in use and of all "
               "that it needs, on this platform"),
        Metric("platforms", "platforms with wheels", "platforms", STARTING, MORE, _PACKAGE,
               "operating systems and processors, by the tags of the names of that release's wheels, and of those of "
               "packages that stand in for it on other platforms"),
        Metric("pins", "upper pins", "yes or no", STARTING, LESS, "pinned package",
               "1 where the resolver takes, with the framework and what it needs, an older numpy (protobuf) than "
               "without it on the same Python"),
        Metric("shares_with", "can share an environment", "yes or no", STARTING, MORE, "other adapter",
               "1 where uv's resolver finds versions for both frameworks in the releases in use and all that they "
               "need, for a CPU, on a Python that both are made with; 0 also where two packages hold the same module"),
        # What an adapter needed.
        Metric("adapter_lines", "lines of the adapter", "lines", ADAPTER, LESS, "",
               "source lines of the adapter's own modules (radon's sloc), hand-written networks left out"),
        Metric("adapter_functions", "functions of the adapter", "functions", ADAPTER, LESS, "",
               "functions and methods of those modules, by radon"),
        Metric("operator_lines", "lines of the operator table", "lines", ADAPTER, LESS, "",
               "source lines of those of its modules that define a function named as an ONNX operator"),
        Metric("operator_functions", "functions of the operator table", "functions", ADAPTER, LESS, "",
               "functions of those modules"),
        Metric("operators", "operators", "operators", ADAPTER, NEITHER, "road",
               "operators that a passing case of ONNX's own reached by this road on the conformance board, counted "
               "once, by the shortest road; the source names the board"),
        Metric("workarounds", "workarounds", "workarounds", ADAPTER, LESS, "",
               "comments of the form `# workaround: reason` in those modules"),
        Metric("operators_missing", "operators missing", "operators", ADAPTER, LESS, _ENVIRONMENT,
               "operators of this run's models that the adapter has no function of its own for"),
        Metric("operators_rewritten", "operators rewritten", "operators", ADAPTER, LESS, _ENVIRONMENT,
               "those of them for which something else stood in"),
        # Status.
        Metric("release_age", "age of the release in use", "days", STATUS, NEITHER, _PACKAGE,
               "days from the upload of the release in use, as the package index states it, to the day of the run"),
        Metric("newest_release_age", "age of the newest release", "days", STATUS, LESS, _PACKAGE,
               "the same for the newest release of the package on any Python, pre-releases left out; for a retired "
               "framework that lives in another's package, for the release in use"),
        Metric("requires_python", "required Python", "", STATUS, NEITHER, _PACKAGE,
               "Requires-Python of the metadata in the environment; the value is its least minor version, 10 for 3.10"),
        Metric("licence", "licence named", "yes or no", STATUS, NEITHER, _PACKAGE,
               "1 where that metadata names a licence, in License-Expression, License or a classifier; the source "
               "has it"),
        Metric("first_release", "first release", "year", STATUS, NEITHER, "",
               "the year in adapter.toml; the source has origin, maker, status and successor from there"),
    )
}  # fmt: skip


def row(adapter: str, metric: str, value: float | None, source: str, task: str = "") -> Row:
    """A fact of a metric that there is. value: None where it could not be had, and then the source says why."""
    return {
        "adapter": adapter,
        "metric": metric,
        "task": task,
        "value": value,
        "unit": METRICS[metric].unit,
        "source": source,
    }
