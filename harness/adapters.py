"""The adapters that there are, as their adapter.toml files describe them.

An adapter is a folder with an adapter.toml. Those that come with the harness lie in `adapters/`; more come from
folders that the caller names, and from entry points of installed packages.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, did_you_mean
from harness.paths import ADAPTERS

#: The version of the kit's interface that this harness speaks.
INTERFACE_VERSION = 1

#: Installed packages offer adapters under this group: the value is a module, or the path of a folder.
ENTRY_POINT_GROUP = "harness.adapters"

ORIGINS = ("academia", "industry", "none")
STATUSES = ("active", "retired")
LAYOUTS = ("channels-first", "channels-last")
DEVICES = ("cpu", "cuda")
SCENARIOS = ("infer", "train")

#: Scenarios that need nothing but inference from an environment.
_INFERENCE_ONLY = {"coldstart": "infer"}


@dataclass(frozen=True)
class Lineage:
    """Where a framework comes from. origin: academia, industry or none. successor: "" where there is none."""

    origin: str
    by: str
    first_release: int
    status: str
    successor: str = ""


@dataclass(frozen=True)
class Execution:
    """What an adapter can be asked for. The first mode and precision are its defaults."""

    layout: str
    modes: tuple[str, ...]
    precisions: tuple[str, ...]
    scenarios: tuple[str, ...]


@dataclass(frozen=True)
class Quirk:
    """Something that a user of this framework should know."""

    about: str
    text: str


@dataclass(frozen=True)
class EnvironmentSpec:
    """How to make one environment of an adapter.

    python: versions that it can be made with, best first. install: requirements; install_for: those of a lock that
    is not made from `install`. needs: what the framework needs beside itself though its packages do not declare it;
    None where nothing is known, see `AdapterSpec.essentials`. locks: files tried in this order. scenarios: those it
    serves. variables: environment variables of its processes. cuda: version of the CUDA runtime inside, or "".
    gpu_architectures: what its GPU code was compiled for, see `harness.devices.runs_on`.
    """

    name: str
    device: str
    python: tuple[str, ...]
    install: tuple[str, ...]
    locks: tuple[Path, ...]
    scenarios: tuple[str, ...] = SCENARIOS
    install_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    cuda: str = ""
    gpu_architectures: tuple[str, ...] = ()

    def requirements(self, lock: Path) -> tuple[str, ...]:
        """What a lock file is made from."""
        return self.install_for.get(lock.name, self.install)


@dataclass(frozen=True)
class AdapterSpec:
    """One adapter. packages: distributions that are the framework, one of which an environment holds.

    module: the top-level module that must be there.
    """

    name: str
    folder: Path
    title: str
    packages: tuple[str, ...]
    module: str
    lineage: Lineage
    execution: Execution
    environments: tuple[EnvironmentSpec, ...]
    quirks: tuple[Quirk, ...] = ()

    @property
    def layout(self) -> str:
        return self.execution.layout

    @property
    def modes(self) -> tuple[str, ...]:
        return self.execution.modes

    @property
    def native_models(self) -> tuple[str, ...]:
        """Models of the zoo that it has a hand-written network for."""
        return tuple(sorted(path.stem for path in (self.folder / "native").glob("[!_]*.py")))

    @property
    def precisions(self) -> tuple[str, ...]:
        return self.execution.precisions

    @property
    def scenarios(self) -> tuple[str, ...]:
        return self.execution.scenarios

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices that it has an environment for."""
        return tuple(dict.fromkeys(environment.device for environment in self.environments))

    def owns(self, distribution: str) -> bool:
        """Whether a distribution is the framework itself."""
        from packaging.utils import canonicalize_name

        return canonicalize_name(distribution) in {canonicalize_name(name) for name in self.packages}

    def essentials(self, environment: EnvironmentSpec) -> tuple[str, ...]:
        """What a user must ask for to have the framework: as pinned, and what it needs beside itself.

        Where `needs` says nothing, other requirements count as they stand, but exact pins of them are our choice
        and come without their version.
        """
        from packaging.requirements import Requirement
        from packaging.specifiers import SpecifierSet

        framework, others = [], []
        for text in environment.install:
            requirement = Requirement(text)
            if self.owns(requirement.name):
                framework.append(text)
                continue
            if any(specifier.operator in ("==", "===") for specifier in requirement.specifier):
                requirement.specifier = SpecifierSet()
            others.append(str(requirement))
        return (*framework, *(others if environment.needs is None else environment.needs))

    def environment(self, device: str, scenario: str = "infer") -> EnvironmentSpec:
        """The first environment for a device that serves a scenario. Raises HarnessError if there is none."""
        needed = _INFERENCE_ONLY.get(scenario, scenario)
        for environment in self.environments:
            if environment.device == device and needed in environment.scenarios:
                return environment
        has = ", ".join(f"{e.name} ({e.device}: {', '.join(e.scenarios)})" for e in self.environments)
        raise HarnessError(f"adapter {self.name} has no environment for {scenario} on {device}", f"It has: {has}")


def all_adapters(extra: Iterable[Path] = ()) -> dict[str, AdapterSpec]:
    """Every adapter by name: ours, those of installed packages, those in `extra` (adapter folders or folders of them).

    Of two with the same name the later wins. Raises HarnessError for an adapter.toml that is not right.
    """
    return {name: read_adapter(folder) for name, folder in _folders(extra).items()}


def find_adapter(name: str, extra: Iterable[Path] = ()) -> AdapterSpec:
    """An adapter by name. Raises HarnessError with the closest name if there is none."""
    return pick_adapters([name], extra)[0]


def pick_adapters(names: Iterable[str], extra: Iterable[Path] = ()) -> list[AdapterSpec]:
    """The named adapters in the order of their names, or all of them if none is named."""
    known, names = _folders(extra), list(names)
    for name in names:
        if name not in known:
            raise HarnessError(f"no adapter is called {name!r}", did_you_mean(name, list(known)))
    # Only those are read: somebody else's adapter that is not right is no reason against the others.
    return [read_adapter(known[name]) for name in dict.fromkeys(names or known)]


def _folders(extra: Iterable[Path]) -> dict[str, Path]:
    """The folder of every adapter by name."""
    folders = [*_within(ADAPTERS), *_entry_points()]
    for path in extra:
        found = list(_within(path))
        if not found:
            raise HarnessError(f"{path}: no adapter there", "Name a folder with an adapter.toml, or a folder of such.")
        folders += found
    return {folder.name: folder for folder in folders}


def _within(folder: Path) -> Iterable[Path]:
    """A folder that is an adapter, or the adapters in it, by name."""
    folder = folder.expanduser().resolve()
    if (folder / "adapter.toml").is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/adapter.toml"))


def _entry_points() -> Iterable[Path]:
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        if "/" in point.value:
            yield from _within(Path(point.value))
            continue
        try:
            found = importlib.util.find_spec(point.value)
        except ImportError:
            found = None
        if found is None or found.origin is None:
            raise HarnessError(
                f"entry point {point.name!r} of {ENTRY_POINT_GROUP}: no module {point.value!r}",
                "Reinstall or uninstall the package that offers this adapter.",
            )
        yield from _within(Path(found.origin).parent)


# Reading adapter.toml ------------------------------------------------------------------------------------------------


class _Table:
    """A TOML table that says which file and key is wrong."""

    def __init__(self, file: Path, values: Any, where: str = ""):
        self.file, self.where = file, where
        if not isinstance(values, dict):
            raise self.wrong("", "is not a table")
        self.values: dict[str, Any] = values

    def wrong(self, key: str, what: str) -> HarnessError:
        name = ".".join(part for part in (self.where, key) if part)
        return HarnessError(f"{self.file}: {name} {what}", "docs/architecture.md describes adapter.toml.")

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """A value of a type; the default where it is left out. Without a default it must be there."""
        if key not in self.values:
            if default is None:
                raise self.wrong(key, "is missing")
            return default
        value = self.values[key]
        if type(value) is not kind:
            raise self.wrong(key, f"is {value!r}; it must be of type {kind.__name__}")
        return value

    def strings(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of strings. Without a default it must be there and not be empty."""
        values = self.get(key, list, default)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "must be a list of strings")
        if not values and default is None:
            raise self.wrong(key, "is empty")
        return tuple(values)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.get(key, str)
        if value not in choices:
            raise self.wrong(key, f"is {value!r}; it must be one of {', '.join(choices)}")
        return str(value)

    def choices(self, key: str, choices: tuple[str, ...], default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        values = self.strings(key, default)
        for value in values:
            if value not in choices:
                raise self.wrong(key, f"holds {value!r}; it may hold {', '.join(choices)}")
        return values

    def table(self, key: str, optional: bool = False) -> _Table:
        if key not in self.values and not optional:
            raise self.wrong(key, "is missing")
        return _Table(self.file, self.values.get(key, {}), ".".join(part for part in (self.where, key) if part))

    def only(self, *known: str) -> None:
        """Refuse keys that mean nothing: they are mistyped ones."""
        for key in self.values:
            if key not in known:
                raise self.wrong(key, f"means nothing. {did_you_mean(key, list(known))}")


def read_adapter(folder: Path) -> AdapterSpec:
    """Read a folder's adapter.toml. Raises HarnessError that names the file and the key that is wrong."""
    file = folder / "adapter.toml"
    try:
        top = _Table(file, tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise HarnessError(f"{file}: {error}", "docs/architecture.md describes adapter.toml.") from None
    interface = top.get("interface", int)
    if interface != INTERFACE_VERSION:
        raise HarnessError(
            f"{file}: written for interface {interface}; this harness speaks interface {INTERFACE_VERSION}",
            "Use a version of the adapter, or of the harness, that fits the other.",
        )
    top.only("interface", "title", "package", "module", "lineage", "execution", "environments", "quirks")
    packages = top.strings("package") if isinstance(top.values.get("package"), list) else (top.get("package", str),)
    environments = top.table("environments")
    return AdapterSpec(
        name=folder.name,
        folder=folder,
        title=top.get("title", str),
        packages=packages,
        module=top.get("module", str, packages[0]),
        lineage=_lineage(top.table("lineage")),
        execution=_execution(top.table("execution")),
        environments=tuple(_environment(folder, environments.table(name), name) for name in environments.values),
        quirks=tuple(_quirk(_Table(file, values, "quirks")) for values in top.get("quirks", list, [])),
    )


def _lineage(table: _Table) -> Lineage:
    table.only("origin", "by", "first_release", "status", "successor")
    return Lineage(
        origin=table.choice("origin", ORIGINS),
        by=table.get("by", str),
        first_release=table.get("first_release", int),
        status=table.choice("status", STATUSES),
        successor=table.get("successor", str, ""),
    )


def _execution(table: _Table) -> Execution:
    table.only("layout", "modes", "precisions", "scenarios")
    return Execution(
        layout=table.choice("layout", LAYOUTS),
        modes=table.strings("modes"),
        precisions=table.strings("precisions"),
        scenarios=table.choices("scenarios", SCENARIOS),
    )


def _quirk(table: _Table) -> Quirk:
    table.only("about", "text")
    return Quirk(table.get("about", str), table.get("text", str))


def _environment(folder: Path, table: _Table, name: str) -> EnvironmentSpec:
    table.only(
        *("device", "python", "install", "install_for", "needs", "locks", "scenarios", "variables"),
        *("cuda", "gpu_architectures"),
    )
    locks = table.strings("locks")
    install_for = table.table("install_for", optional=True)
    install_for.only(*locks)
    variables = table.table("variables", optional=True)
    architectures = table.strings("gpu_architectures", ())
    for value in architectures:
        if not re.fullmatch(r"(sm|compute)_\d{2,3}[af]?", value):
            raise table.wrong("gpu_architectures", f"holds {value!r}; it may hold sm_NN and compute_NN")
    for value in table.strings("python"):
        if not re.fullmatch(r"\d+\.\d+", value):
            raise table.wrong("python", f"holds {value!r}; it may hold versions such as 3.11")
    return EnvironmentSpec(
        name=name,
        device=table.choice("device", DEVICES),
        python=table.strings("python"),
        install=table.strings("install"),
        needs=_requirements(table, "needs") if "needs" in table.values else None,
        locks=tuple(folder / lock for lock in locks),
        scenarios=table.choices("scenarios", SCENARIOS, SCENARIOS),
        install_for={lock: install_for.strings(lock) for lock in install_for.values},
        variables={key: variables.get(key, str) for key in variables.values},
        cuda=table.get("cuda", str, ""),
        gpu_architectures=architectures,
    )


def _requirements(table: _Table, key: str) -> tuple[str, ...]:
    from packaging.requirements import InvalidRequirement, Requirement

    values = table.strings(key, ())
    for value in values:
        try:
            Requirement(value)
        except InvalidRequirement:
            raise table.wrong(key, f"holds {value!r}; it may hold requirements such as numpy<2") from None
    return values
