"""The interface: the worker starts, and says who it is in the form that the harness reads."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import defs

from harness.adapters import INTERFACE_VERSION
from harness.adapting.findings import Finding, Unable, failed, passed
from harness.adapting.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    try:
        hello = subject.site().hello
    except Unable as reason:
        source = subject.source
        yield failed(str(reason), source.toml if "environment" in str(reason) else source.method("version"))
        return
    wrong = list(_wrong(subject, hello))
    yield from wrong
    if not wrong:
        yield passed(
            f"interface {INTERFACE_VERSION}, {subject.spec.title} {hello['version']} on "
            f"{subject.site().device_name(subject.device)}, {len(hello['operators'])} operators"
        )


def _wrong(subject: Subject, hello: dict[str, object]) -> Iterator[Finding]:
    source = subject.source
    version, devices, operators = hello["version"], hello["devices"], hello["operators"]
    if not isinstance(version, str) or not version:
        yield failed(f"version() is {version!r}, not the framework's version", source.method("version"))
    for entry in devices if isinstance(devices, list) else []:
        if not isinstance(entry.get("name"), str):
            yield failed(f"devices() has an entry without a name: {entry}", source.method("devices"))
    if not isinstance(hello["facts"], dict):
        yield failed(f"describe() is {hello['facts']!r}, not a dictionary", source.method("describe"))
    known = {schema.name for schema in defs.get_all_schemas()} | {"*"}
    for name in operators if isinstance(operators, list) else []:
        if name not in known:
            yield failed(f"ONNX has no operator {name!r}", source.operator(name))
