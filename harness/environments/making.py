"""Make an environment from a lock file, or find the one that was made, or take an interpreter as it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import devices
from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.environments import uv
from harness.environments.inspection import inspect
from harness.errors import HarnessError
from harness.paths import home

#: What lies in the folder of every environment that is whole.
RECORD = "environment.json"

_ADVICE = {
    "no network": "Connect to the network, or name a folder that holds the wheels in UV_FIND_LINKS.",
    "the disk is full": "Free some space, or name a folder on another disk in HARNESS_HOME.",
    "permission denied": "Name a folder that you may write to in HARNESS_HOME.",
}


class EnvironmentFailed(HarnessError):
    """An environment that cannot be had here. reason: short enough for a table. log: what uv printed, if it ran."""

    def __init__(self, reason: str, advice: str = "", log: Path | None = None):
        where = f"All that uv said: {log}" if log is not None else ""
        super().__init__(reason, "\n".join(part for part in (advice, where) if part))
        self.log = log

    @property
    def reason(self) -> str:
        return self.what


@dataclass(frozen=True)
class Environment:
    """An environment that is whole.

    python: its interpreter. lock: the name of the lock file that it was made from, None for a given interpreter.
    packages: versions by distribution. bytes_on_disk: of its site-packages. install_seconds: None where we did not
    install it. packages_fetched: how many of them had to be downloaded or unpacked then, the others were in uv's cache.
    variables: environment variables that its processes need. notes: what a reader of its figures should know.
    """

    adapter: str
    name: str
    device: str
    python: Path
    python_version: str
    packages: dict[str, str]
    bytes_on_disk: int
    lock: str | None = None
    install_seconds: float | None = None
    packages_fetched: int | None = None
    created: str = ""
    freshly_made: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# Where environments lie ----------------------------------------------------------------------------------------------


def folder_of_all() -> Path:
    return home() / "environments"


def base_name(adapter: AdapterSpec, spec: EnvironmentSpec) -> str:
    """What the folders of an environment are called before the hash."""
    return f"{adapter.name}-{spec.name}"


def folder_of(adapter: AdapterSpec, spec: EnvironmentSpec, lock: Path, python: str) -> Path:
    """The folder of an environment made from a lock file with a minor version of Python."""
    digest = hashlib.sha256(lock.read_bytes() + python.encode()).hexdigest()[:12]
    return folder_of_all() / f"{base_name(adapter, spec)}-{digest}"


def folders(adapter: AdapterSpec, spec: EnvironmentSpec) -> list[Path]:
    """Every folder of an environment that lies there: whole, made from another lock, or left by an interrupted try."""
    name = re.compile(rf"(\.making-)?{re.escape(base_name(adapter, spec))}-[0-9a-f]{{12}}(\.\d+)?")
    return sorted(path for path in folder_of_all().glob("*") if name.fullmatch(path.name))


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was noted when an environment was made; None if it is not whole, or its Python is gone."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if python_in(folder).exists() else None


def failure_note(adapter: AdapterSpec, spec: EnvironmentSpec) -> Path:
    """The file that says why the last try to make an environment failed; it is not there after a success."""
    return folder_of_all() / "logs" / f"{base_name(adapter, spec)}.failed"


def python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


def find(adapter: AdapterSpec, spec: EnvironmentSpec) -> tuple[Path, dict[str, Any]] | None:
    """The best environment that was made from today's lock files: its folder and its record."""
    for lock in spec.locks:
        for python in spec.python:
            folder = folder_of(adapter, spec, lock, python) if lock.is_file() else None
            record = read_record(folder) if folder is not None else None
            if folder is not None and record is not None:
                return folder, record
    return None


# Making one ----------------------------------------------------------------------------------------------------------


def ensure(
    adapter: AdapterSpec, device: str, scenario: str = "infer", say: Callable[[str], None] = lambda text: None
) -> Environment:
    """The environment that serves a scenario on a device, made if it is not there yet.

    Raises EnvironmentFailed if it cannot be had on this machine. say: told what takes time.
    """
    spec = adapter.environment(device, scenario)
    if problem := obstacle(spec):
        raise EnvironmentFailed(problem, f"{adapter.title} can run on the CPU instead: --device cpu")
    try:
        with alone(base_name(adapter, spec)):
            found = find(adapter, spec)
            if found is not None:
                return _environment(adapter, spec, *found, freshly_made=False)
            say(f"making the {spec.name} environment of {adapter.title}")
            failure_note(adapter, spec).unlink(missing_ok=True)
            try:
                made = _make(adapter, spec)
            except EnvironmentFailed as failure:
                failure_note(adapter, spec).write_text(failure.reason)
                raise
            return _environment(adapter, spec, *made, freshly_made=True)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else f"{error.strerror}: {error.filename}".lower()
        raise EnvironmentFailed(reason, _advice(reason)) from None


def obstacle(spec: EnvironmentSpec) -> str:
    """Why an environment could not run on this machine's devices; "" if it could."""
    if spec.device != "cuda":
        return ""
    return devices.obstacle(spec.gpu_architectures, spec.cuda, devices.examine())


def no_python(spec: EnvironmentSpec, found: Mapping[str, uv.Interpreter]) -> EnvironmentFailed:
    """That no interpreter fits, and how to get one."""
    wanted, here = " or ".join(spec.python), ", ".join(found) or "none"
    return EnvironmentFailed(
        f"needs Python {wanted}; here: {here}",
        f"Install one and put it on PATH, by your system's package manager or by `uv python install {spec.python[0]}`.",
    )


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other process makes or removes this environment."""
    for kind in ("locks", "logs"):
        (folder_of_all() / kind).mkdir(parents=True, exist_ok=True)
    with (folder_of_all() / "locks" / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(adapter: AdapterSpec, spec: EnvironmentSpec) -> tuple[Path, dict[str, Any]]:
    """Try one lock file after the other; the folder and record of the first that could be installed."""
    found = uv.interpreters()
    interpreter = uv.choose(spec.python, found)
    if interpreter is None:
        raise no_python(spec, found)
    log = folder_of_all() / "logs" / f"{base_name(adapter, spec)}.log"
    log.unlink(missing_ok=True)
    for old in folders(adapter, spec):
        if old.name.startswith("."):
            shutil.rmtree(old, ignore_errors=True)
    passed_over: dict[str, str] = {}
    reason = "it has no lock file"
    for lock in spec.locks:
        folder = folder_of(adapter, spec, lock, interpreter.minor)
        # A name of its own, because the uv of a try that was killed may still be at work.
        making = folder.with_name(f".making-{folder.name}.{os.getpid()}")
        try:
            record = _install(adapter, spec, lock, interpreter, making, log)
            record["passed_over"] = passed_over
            (making / RECORD).write_text(json.dumps(record, indent=1) + "\n")
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
            return folder, record
        except EnvironmentFailed as failure:
            reason = passed_over[lock.name] = failure.reason
            if reason in uv.HOPELESS:
                break
        finally:
            shutil.rmtree(making, ignore_errors=True)
    raise EnvironmentFailed(reason, _advice(reason), log)


def _advice(reason: str) -> str:
    return next((advice for start, advice in _ADVICE.items() if reason.startswith(start)), "")


def sync(
    interpreter: uv.Interpreter,
    folder: Path,
    lock: Path,
    log: Path | None = None,
    extra: dict[str, str] | None = None,
) -> uv.Answer:
    """Make a new environment that holds exactly what a lock file names; uv's answer to the last step that was tried."""
    # relocatable, because the folder gets its name when it is whole. Bytecode is compiled now, as pip does, so that
    # no worker pays for it in a cold start.
    steps = (
        ("venv", "--relocatable", "--no-project", "--python", interpreter.path, folder),
        ("pip", "sync", "--require-hashes", "--no-build", "--compile-bytecode", "--python", python_in(folder), lock),
    )
    for step in steps:
        answer = uv.call(*step, log=log, extra=extra)
        if not answer.ok:
            break
    return answer


def _install(
    adapter: AdapterSpec, spec: EnvironmentSpec, lock: Path, interpreter: uv.Interpreter, folder: Path, log: Path
) -> dict[str, Any]:
    """Install exactly what a lock file names into a new environment; what is to be remembered of it."""
    begin = time.perf_counter()
    answer = sync(interpreter, folder, lock, log=log)
    if not answer.ok:
        raise EnvironmentFailed(uv.meaning(answer.output, interpreter.minor))
    seconds = time.perf_counter() - begin
    fetched = re.search(r"Prepared (\d+) packages? in", answer.output)
    inspection = inspect(python_in(folder), (adapter.module,))
    if adapter.module not in inspection.modules:
        raise EnvironmentFailed(f"{lock.name} installs no module {adapter.module}")
    return {
        "adapter": adapter.name,
        "environment": spec.name,
        "device": spec.device,
        "python_version": inspection.python_version,
        "lock": lock.name,
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest(),
        "packages": inspection.packages,
        "bytes_on_disk": inspection.bytes_on_disk,
        "install_seconds": round(seconds, 3),
        "packages_fetched": int(fetched[1]) if fetched else 0,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "uv": uv.version(),
    }


def _environment(
    adapter: AdapterSpec, spec: EnvironmentSpec, folder: Path, record: dict[str, Any], freshly_made: bool
) -> Environment:
    minor = uv.minor(record["python_version"])
    # NVIDIA's packages put their shared libraries into folders where no loader looks.
    libraries = ":".join(sorted(map(str, folder.glob(f"lib/python{minor}/site-packages/nvidia/*/lib"))))
    return Environment(
        adapter=adapter.name,
        name=spec.name,
        device=spec.device,
        python=python_in(folder),
        python_version=record["python_version"],
        packages=record["packages"],
        bytes_on_disk=record["bytes_on_disk"],
        lock=record["lock"],
        install_seconds=record["install_seconds"],
        packages_fetched=record["packages_fetched"],
        created=record["created"],
        freshly_made=freshly_made,
        variables={name: value.replace("{libraries}", libraries) for name, value in spec.variables.items()},
        notes=tuple(f"{lock} was passed over: {reason}" for lock, reason in record["passed_over"].items()),
    )


# Taking one as it is -------------------------------------------------------------------------------------------------


def given(adapter: AdapterSpec, where: str, device: str = "cpu", scenario: str = "infer") -> Environment:
    """An interpreter as an adapter's environment: "current" for the one that is running, or a path (a venv's folder
    will do). Nothing is installed. Raises EnvironmentFailed if the framework is not there."""
    from packaging.utils import canonicalize_name

    python = Path(sys.executable) if where == "current" else Path(where).expanduser().absolute()
    if python.is_dir():
        python = python_in(python)
    if not os.access(python, os.X_OK):
        raise EnvironmentFailed(f"{python}: no interpreter there", "Name the executable of a Python, or a venv.")
    inspection = inspect(python, (adapter.module,))
    versions: dict[str, str] = {canonicalize_name(name): version for name, version in inspection.packages.items()}
    present = [name for name in adapter.packages if canonicalize_name(name) in versions]
    if not present or adapter.module not in inspection.modules:
        lacking = f"module {adapter.module}" if present else " or ".join(adapter.packages)
        spec = adapter.environment(device, scenario)
        raise EnvironmentFailed(
            f"{python} has no {lacking}",
            "Install it there: " + " ".join(f"'{requirement}'" for requirement in spec.install),
        )
    return Environment(
        adapter=adapter.name,
        name="current" if where == "current" else "given",
        device=device,
        python=python,
        python_version=inspection.python_version,
        packages=inspection.packages,
        bytes_on_disk=inspection.bytes_on_disk,
        notes=tuple(_differences(adapter.environment(device, scenario), versions)),
    )


def _differences(spec: EnvironmentSpec, versions: Mapping[str, str]) -> Iterator[str]:
    """How an interpreter's packages differ from the adapter's pins."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for requirement in map(Requirement, spec.install):
        version = versions.get(canonicalize_name(requirement.name))
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} is {version}; the adapter is written for {requirement.specifier}"
