"""Where an adapter runs: its environment, made or found, with its framework seen to start there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.adapters import AdapterSpec
from harness.environments import Environment, EnvironmentFailed
from harness.journal import Journal
from harness.live import Site, start
from harness.matrix import usable_cores
from harness.worker import WorkerFailed

#: Finds or makes the environment of an adapter for a device and a scenario.
Provider = Callable[[AdapterSpec, str, str], Environment]


class Sites:
    """Opens sites and writes into the journal what was found there.

    logs: where workers print. timeout: seconds that a framework may take to start.
    """

    def __init__(self, journal: Journal, provide: Provider, logs: Path, timeout: float):
        self._journal, self._provide, self._logs, self._timeout = journal, provide, logs, timeout
        self._known: dict[tuple[str, Path], Site | str] = {}

    def open(self, spec: AdapterSpec, device: str, scenario: str) -> Site | str:
        """The site of an adapter for a scenario on a device; the reason where there is none."""
        if scenario not in spec.scenarios:
            return f"{spec.title} does not {scenario}"
        try:
            environment = self._provide(spec, device, scenario)
        except EnvironmentFailed as failure:
            name = spec.environment(device, scenario).name
            self._journal.append(
                "environment", adapter=spec.name, environment=name, device=device, reason=failure.reason
            )
            return f"no environment: {failure.reason}"
        key = (spec.name, environment.python)
        if key not in self._known:
            self._known[key] = self._first_start(spec, device, environment)
        return self._known[key]

    def _first_start(self, spec: AdapterSpec, device: str, environment: Environment) -> Site | str:
        for note in environment.notes:
            self._journal.append("warning", text=f"{spec.title} ({environment.name} environment): {note}")
        site = Site(spec.name, spec.folder, environment, {})
        log = self._logs / f"hello-{spec.name}-{environment.name}.log"
        worker = start(site, log, usable_cores(), device)
        facts = {"adapter": spec.name, "environment": environment.name, "device": device}
        try:
            hello = worker.ask("hello", self._timeout)
        except WorkerFailed as failure:
            reason = f"it does not start: {failure.reason}"
            self._journal.append("environment", **facts, reason=reason, facts={"log_tail": failure.log_tail})
            return reason
        finally:
            worker.end()
        if device not in {entry["device"] for entry in hello["devices"]}:
            reason = f"{spec.title} {hello['version']} finds no {device} device here"
            self._journal.append("environment", **facts, reason=reason)
            return reason
        self._journal.append(
            "environment",
            **facts,
            python=environment.python_version,
            lock=environment.lock,
            packages=len(environment.packages),
            bytes_on_disk=environment.bytes_on_disk,
            install_seconds=environment.install_seconds,
            framework_version=hello["version"],
            import_seconds=hello["import_ns"] / 1e9,
            facts={"versions": environment.packages, **hello["facts"]},
        )
        return replace(site, hello=hello)
