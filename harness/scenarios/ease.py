"""Ease of use, first version: figures about having and programming a framework, each read off something real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radon.raw import analyze
from radon.visitors import ComplexityVisitor

from harness.live import Site

Row = dict[str, Any]


def of_environment(site: Site) -> Iterator[Row]:
    """Packages, bytes and seconds of an environment, as measured when it was made and first started."""
    environment = site.environment
    source = f"environment {environment.name}"
    yield _row(site.adapter, "packages", len(environment.packages), "packages", source, environment.name)
    yield _row(site.adapter, "bytes_on_disk", environment.bytes_on_disk, "bytes", source, environment.name)
    if environment.install_seconds is not None:
        yield _row(site.adapter, "install", environment.install_seconds, "seconds", source, environment.name)
    yield _row(site.adapter, "import", site.hello["import_ns"] / 1e9, "seconds", source, environment.name)


def of_adapter(name: str, folder: Path) -> Iterator[Row]:
    """Logical lines of code and functions of an adapter's own modules (radon's counts)."""
    lines = functions = 0
    for path in sorted(folder.glob("*.py")):
        text = path.read_text()
        lines += analyze(text).sloc
        visitor = ComplexityVisitor.from_code(text)
        functions += len(visitor.functions) + sum(len(kind.methods) for kind in visitor.classes)
    yield _row(name, "adapter_lines", lines, "lines", "radon sloc of the adapter's modules")
    yield _row(name, "adapter_functions", functions, "functions", "radon, functions and methods of its modules")


def of_operators(site: Site, needed: set[str], rewritten: set[str]) -> Iterator[Row]:
    """Operators of this run's models that the adapter lacks, and those of them that were rewritten for it."""
    lacking = set() if "*" in site.operators else needed - set(site.operators)
    source = "operators of this run's models: " + (", ".join(sorted(lacking)) or "none is missing")
    yield _row(site.adapter, "operators_missing", len(lacking), "operators", source, site.environment.name)
    named = "ONNX function bodies used instead: " + (", ".join(sorted(rewritten)) or "none")
    yield _row(site.adapter, "operators_rewritten", len(rewritten), "operators", named, site.environment.name)


def _row(adapter: str, metric: str, value: float, unit: str, source: str, task: str = "") -> Row:
    return {"adapter": adapter, "metric": metric, "task": task, "value": value, "unit": unit, "source": source}
