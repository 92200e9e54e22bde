"""Tiny wheels, and adapters of them, for tests that ask a real uv without a network."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from harness.adapters import AdapterSpec, read_adapter

TOML = """
interface = 1
title = "TITLE"
package = PACKAGE
module = "MODULE"
[lineage]
origin = "none"
by = "a test"
first_release = 2020
status = "STATUS"
[execution]
layout = "channels-first"
modes = ["eager"]
precisions = ["fp32"]
scenarios = SCENARIOS
ENVIRONMENTS
"""


def build_wheel(folder: Path, name: str, version: str, headers: str = "", tag: str = "py3-none-any") -> str:
    """A wheel with one module; its sha256. headers: more lines of its metadata."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in files.items():
            wheel.writestr(file, content)
        wheel.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_adapter(
    folder: Path, package: str, environments: str, scenarios: str = '["infer"]', status: str = "active"
) -> AdapterSpec:
    """An adapter in a folder that is called as it. package: as in TOML; environments: tables."""
    folder.mkdir(parents=True, exist_ok=True)
    name = package.strip('["').split('"')[0]
    values = {
        "TITLE": folder.name.title(),
        "PACKAGE": package,
        "MODULE": name.replace("-", "_"),
        "SCENARIOS": scenarios,
        "STATUS": status,
        "ENVIRONMENTS": environments,
    }
    text = TOML
    for word, value in values.items():
        text = text.replace(word, value)
    (folder / "adapter.toml").write_text(text)
    return read_adapter(folder)


def only_wheels(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let uv find the wheels of a folder and nothing else, with a cache beside them: its index is empty."""
    index = folder.parent / "index"
    index.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(folder.parent / "cache"))
