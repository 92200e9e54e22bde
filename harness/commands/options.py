"""Reading what several commands take in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.adapters import AdapterSpec
    from harness.environments import Environment
    from harness.sites import Provider


def pairs(given: list[str], option: str) -> dict[str, str]:
    """`name=value` arguments as a dictionary."""
    result = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise HarnessError(f"{option} {text}: not of the form NAME=VALUE", f"For example: {option} batch=8")
        result[name] = value
    return result


def extents(given: list[str], option: str = "--shape") -> dict[str, int]:
    """`name=extent` arguments: free dimensions and their extents, each at least 1."""
    result = {}
    for name, text in pairs(given, option).items():
        if not text.isdecimal() or int(text) < 1:
            raise HarnessError(f"{option} {name}={text}: an extent is a whole number, 1 or more")
        result[name] = int(text)
    return result


def numbers(given: list[str], option: str = "--value") -> dict[str, float]:
    """`name=number` arguments: inputs that are settings of the network."""
    result: dict[str, float] = {}
    for name, text in pairs(given, option).items():
        try:
            result[name] = int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            raise HarnessError(f"{option} {name}={text}: not a number") from None
    return result


def share(option: str, text: str) -> float:
    """A percentage such as `1%` (or `1`) as a share: 0.01."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent < 100:
        raise HarnessError(f"{option} {text}: a percentage between 0 and 100", f"For example: {option} 1%")
    return percent / 100


def words(text: str | None) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def frameworks(names: list[str], extra: Iterable[Path]) -> list[AdapterSpec]:
    """The named adapters; without names all but the null adapter, which computes nothing that could be judged."""
    from harness import adapters as known
    from harness.results import NULL_ADAPTER

    return known.pick_adapters(names or [name for name in known.all_adapters(extra) if name != NULL_ADAPTER], extra)


def interpreters(given: list[str], chosen: Iterable[AdapterSpec]) -> dict[str, str]:
    """`adapter=python` arguments: interpreters to use instead of environments of the harness's own."""
    found = pairs(given, "--env")
    for name in found:
        if name not in {spec.name for spec in chosen}:
            raise HarnessError(f"--env: {name!r} is not among the adapters of this run")
    return found


def provider(given: dict[str, str], say: Callable[[str], None]) -> Provider:
    """Finds or makes environments; `say` hears of those that have to be made."""
    from harness import environments

    def provide(spec: AdapterSpec, device: str, scenario: str) -> Environment:
        if spec.name in given:
            return environments.given(spec, given[spec.name], device, scenario)
        return environments.ensure(spec, device, scenario, say=say)

    return provide
