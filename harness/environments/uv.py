"""Calling uv: with which variables, which interpreters it finds, and what its failures mean."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError

#: Variables that would make uv work on, or with, something else than what we name.
_NOT_INHERITED = (
    "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "UV_PYTHON", "UV_PROJECT", "UV_WORKING_DIR",
    "UV_CONSTRAINT", "UV_OVERRIDE", "UV_EXCLUDE", "UV_SYSTEM_PYTHON", "UV_REQUIRE_HASHES", "UV_NO_VERIFY_HASHES",
)  # fmt: skip

#: A package as uv's resolver writes it: perhaps with a marker in braces, perhaps with versions.
_NAMED = r"([\w.-]+)(?:\{[^}]*\})?(?:[=<>]\S*)?"

#: What uv says, as a regular expression, and what that means in a few words.
_MEANINGS = (
    (r"No space left on device", "the disk is full"),
    (r"Hash mismatch for `([^`]+)`", "{0}: the file offered here is not the one that was locked (hash mismatch)"),
    (r"network was disabled", "no network: uv is told to work offline, and its cache lacks {package}"),
    (r"dns error|tcp connect error|error sending request|Connection refused|timed out|tunnel error",
     "no network: the package index cannot be reached"),
    (_NAMED + " has no wheels with a matching Python", "{0} has no wheel for Python {python}"),
    (_NAMED + " has no wheels with a matching platform tag", "{0} has no wheel for this platform"),
    (_NAMED + " has no usable wheels", "{0} has no wheel for this platform and Python {python}"),
    (r"there is no version of (\S+)", "{0} is not offered here"),
    (r"Because (\S+) was not found in the (?:package registry|provided package locations)", "{0} is not offered here"),
    (r"Permission denied", "permission denied"),
)  # fmt: skip

#: Reasons that another lock would meet as well.
HOPELESS = ("the disk is full", "permission denied")


def minor(version: str) -> str:
    """The minor version of a Python: 3.11 of 3.11.7."""
    return ".".join(version.split(".")[:2])


@dataclass(frozen=True)
class Interpreter:
    """A Python that uv found. version: "3.11.7"."""

    version: str
    path: Path

    @property
    def minor(self) -> str:
        return minor(self.version)


@dataclass(frozen=True)
class Answer:
    """How a call of uv ended. output: all that it printed."""

    ok: bool
    output: str


def binary() -> Path:
    """The uv that the harness's own uv package carries. Raises HarnessError if there is none."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise HarnessError(f"uv is not there: {error}", "Install it beside the harness: pip install uv") from None


def variables() -> dict[str, str]:
    """The environment that uv runs in: the user's own configuration counts, but nothing of a project or a venv.

    uv never downloads an interpreter. What pip was told about folders with wheels (PIP_FIND_LINKS) holds for uv too.
    """
    result = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
    result |= {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1", "UV_NO_BUILD": "1"}
    if "UV_FIND_LINKS" not in result and result.get("PIP_FIND_LINKS"):
        result["UV_FIND_LINKS"] = ",".join(result["PIP_FIND_LINKS"].split())
    result["PATH"] = os.pathsep.join(_search_path())
    return result


def _search_path() -> list[str]:
    """Where uv looks for interpreters: PATH, then this process's own, then pyenv's.

    pyenv's shims are left out: most of them only say that their version is not selected.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    folders = [folder for folder in folders if Path(folder) != pyenv / "shims"]
    folders += [str(Path(sys.base_prefix) / "bin")]
    folders += sorted((str(path) for path in pyenv.glob("versions/*/bin")), reverse=True)
    return list(dict.fromkeys(folders))


def call(*arguments: str | Path, log: Path | None = None, extra: dict[str, str] | None = None) -> Answer:
    """Run uv. What it prints is appended to `log`. Never raises for a failure of uv itself."""
    command = [str(binary()), *map(str, arguments)]
    # uv reads the configuration of the folder that it runs in: the root has none.
    ended = subprocess.run(
        command,
        cwd="/",
        env=variables() | (extra or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if log is not None:
        with log.open("a") as file:
            file.write(f"$ uv {' '.join(command[1:])}\n{ended.stdout}\n")
    return Answer(ended.returncode == 0, ended.stdout)


def version() -> str:
    """uv's own version."""
    words = call("--version").output.split()
    return words[1] if len(words) > 1 else "unknown"


def interpreters() -> dict[str, Interpreter]:
    """The CPythons of this machine by minor version ("3.11"), of several with the same one the first on PATH."""
    answer = call("python", "list", "--only-installed", "--output-format", "json")
    start = answer.output.find("[{")
    if not answer.ok or start < 0:
        return {}
    try:
        entries, _ = json.JSONDecoder().raw_decode(answer.output[start:])
    except ValueError:
        return {}
    found: dict[str, Interpreter] = {}
    for entry in entries:
        if entry["implementation"] != "cpython" or entry.get("variant", "default") != "default" or not entry["path"]:
            continue
        interpreter = Interpreter(entry["version"], Path(entry["path"]))
        found.setdefault(interpreter.minor, interpreter)
    return found


def choose(wanted: Sequence[str], found: dict[str, Interpreter]) -> Interpreter | None:
    """The first of the wanted minor versions that was found."""
    return next((found[version] for version in wanted if version in found), None)


def meaning(output: str, python: str = "") -> str:
    """Why uv failed, in a few words that fit into a table; its own last words where it said something new."""
    # uv wraps no lines, but it indents what it quotes.
    text = " ".join(output.split())
    package = next(iter(re.findall(r"Because (\S+)", text)), "a package")
    for pattern, words in _MEANINGS:
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            return words.format(*match.groups(), python=python, package=package)
    complaints = re.findall(r"^\s*(?:error|cause):\s*(.+)$", output, re.MULTILINE)
    words = complaints[-1] if complaints else (output.strip().splitlines() or ["no output"])[-1]
    return f"uv failed: {words.strip()[:120]}"
