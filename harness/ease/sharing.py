"""Which frameworks can live in one environment: asked of uv's resolver, pair by pair."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from harness.adapters import AdapterSpec, EnvironmentSpec
from harness.ease import index
from harness.ease.metrics import Row, row


def of_pairs(adapters: Sequence[AdapterSpec], device: str = "cpu") -> Iterator[Row]:
    """Whether the requirements of two adapters fit together, in both directions; and of one whose inference and
    training live in two environments, whether these could be one. Only adapters with an environment for the device."""
    adapters = [adapter for adapter in adapters if device in adapter.devices]
    for adapter in adapters:
        environments = {adapter.environment(device, purpose).name: purpose for purpose in adapter.scenarios}
        if len(environments) > 1:
            spent = [_Side(adapter, adapter.environment(device, purpose)) for purpose in environments.values()]
            yield row(adapter.name, "shares_with", *_together(*spent[:2]), adapter.name)
    sides = {adapter.name: _Side(adapter, adapter.environment(device)) for adapter in adapters}
    for one, other in combinations(sides, 2):
        value, source = _together(sides[one], sides[other])
        yield row(one, "shares_with", value, source, other)
        yield row(other, "shares_with", value, source, one)


class _Side:
    """An adapter in one of its environments: what it asks for."""

    def __init__(self, adapter: AdapterSpec, environment: EnvironmentSpec):
        self.adapter, self.pythons = adapter, environment.python
        self.asks = adapter.essentials(environment)
        requirements = [Requirement(text) for text in self.asks]
        self.framework = [one for one in requirements if adapter.owns(one.name)]
        self.others = [one for one in requirements if not adapter.owns(one.name)]

    @property
    def title(self) -> str:
        """The framework as it is asked for: torch==1.10.2."""
        return _plain(self.framework[0]) if self.framework else self.adapter.title


def _together(one: _Side, other: _Side) -> tuple[int | None, str]:
    """1 and a Python on which both can be had, 0 and why there is none, or None and why that could not be asked."""
    if reason := _excluded(one, other):
        return 0, reason
    common = sorted(set(one.pythons) & set(other.pythons), key=_order, reverse=True)
    if not common:
        return 0, f"no common Python: {one.title} on {_listed(one.pythons)}, {other.title} on {_listed(other.pythons)}"
    reasons = []
    for python in common:
        found = index.resolve([*one.asks, *other.asks], python)
        if not found.problem:
            return 1, f"Python {python}"
        if not found.answered:
            return None, found.problem
        reasons.append(conflict(found.output, _requirers(one, other)) or _shortened(found))
    # Where it fails for several reasons, that of the newest Python which is not merely too new for a wheel.
    telling = [reason for reason in reasons if " needs " in reason] or reasons
    return 0, telling[0]


def _excluded(one: _Side, other: _Side) -> str:
    """What no resolver has to be asked for: two versions of one package, or two packages that hold one module."""
    for first in one.framework:
        for second in other.framework:
            names = canonicalize_name(first.name), canonicalize_name(second.name)
            if names[0] == names[1] and disjoint(first.specifier, second.specifier):
                return f"{_plain(first)} and {_plain(second)} conflict"
            if names[0] != names[1] and one.adapter.name == other.adapter.name:
                return f"{first.name} and {second.name} both install the module {one.adapter.module}"
    return ""


def _shortened(found: index.Resolution) -> str:
    """Why there is no solution: in our words where there are some, else the resolver's first sentence."""
    sentence = re.search(r"Because (.+?), we can conclude", " ".join(found.output.split()))
    return sentence[1] if sentence and found.problem.startswith("uv failed") else found.problem


def _requirers(*sides: _Side) -> dict[str, str]:
    """Requirements beside the frameworks themselves, as uv quotes them, and the framework that needs each."""
    return {
        _squeezed(f"{canonicalize_name(asked.name)}{asked.specifier}"): side.title
        for side in sides
        for asked in side.others
    }


# Reading the resolver ------------------------------------------------------------------------------------------------

#: A package with versions, as uv's resolver writes it.
_PACKAGE = r"([\w.-]+)(?:\[[\w,-]+\])?(?:\{[^}]*\})?((?:[=<>!~]=?[^\s,]+,?)*)"
_UNNAMED = r"[\w.-]+(?:\[[\w,-]+\])?(?:\{[^}]*\})?(?:[=<>!~]=?[^\s,]+,?)*"


def conflict(output: str, requirers: dict[str, str]) -> str:
    """What the resolver's answer says of one package that two sides want in versions which exclude each other:
    "mxnet==1.9.1 needs numpy<2.0.0, a==1 needs numpy>=2.1"; "" where it says no such thing.

    requirers: who needs what the answer says that "you require".
    """
    text = " ".join(output.split("\nhint:", maxsplit=1)[0].split())
    wants = [
        (f"{match[1]}{match[2].rstrip(',')}", match[3], match[4].rstrip(",."))
        for match in re.finditer(rf"{_PACKAGE} depends? on {_PACKAGE}", text)
    ]
    for sentence in re.findall(rf"you require ((?:{_UNNAMED}(?: and |, ))*{_UNNAMED})", text):
        for name, versions in re.findall(_PACKAGE, sentence):
            if who := requirers.get(f"{name}{versions.rstrip(',.')}"):
                wants.append((who, name, versions.rstrip(",.")))
    for (who, package, versions), (other, same, others) in combinations(wants, 2):
        if package == same and who != other and disjoint(SpecifierSet(versions), SpecifierSet(others)):
            return f"{who} needs {package}{versions}, {other} needs {same}{others}"
    return ""


def disjoint(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Whether no version is in both. Only the versions that they name, and what lies beside these, are looked at."""
    candidates = {"0", "999999"}
    for specifier in (*one, *other):
        text = specifier.version.removesuffix(".*")
        try:
            Version(text)
        except InvalidVersion:
            return False
        # Beside a bound: the patch after it, as an open lower bound lets in.
        candidates |= {text, f"{Version(text).base_version}.0.1"}
    both = one & other
    return not any(both.contains(candidate, prereleases=True) for candidate in candidates)


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _squeezed(text: str) -> str:
    return text.replace(" ", "")


def _order(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))


def _listed(pythons: Iterable[str]) -> str:
    ordered = sorted(pythons, key=_order)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
