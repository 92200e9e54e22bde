"""From what a GPU check saw to what passed, what failed, and what could not be checked and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"

#: Names of kernels that only cuDNN brings: its own, and those of convolutions and recurrent layers that it starts under
#: names without it. (Products alone, "gemm", may be cuBLAS's.)
_CUDNN_KERNEL = re.compile(
    r"cudnn|implicit_(gemm|convolve)|[a-z]prop_|dgrad|wgrad|winograd|conv2d_grouped_direct|fft2d_"
    r"|RNN_blockPersist|LSTM_elementWise|elemWiseRNN|persistRNN",
    re.IGNORECASE,
)

#: The share by which the host's clock and the device's may differ.
CLOCK_LIMIT = 0.03

#: A clock that does not wait shows less than this share of the time where work is asynchronous.
HASTY = 0.8

#: As the harness judges work that is left behind: a share of the steps, or of 2 ms where they are shorter.
LATE_SHARE, LATE_LEAST_NS = 0.25, 2_000_000

#: A lower precision is off by so many times more than fp32, at least.
COARSER = 10


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. state: PASSED, FAILED or NOT_CHECKED. said: what was found, or why it was not."""

    name: str
    state: str
    said: str


def summary(checks: Sequence[Check]) -> str:
    """The checks as a Markdown table, failures first, and what they come to."""
    counts = {state: sum(check.state == state for check in checks) for state in (PASSED, FAILED, NOT_CHECKED)}
    order = sorted(checks, key=lambda check: (FAILED, NOT_CHECKED, PASSED).index(check.state))
    rows = [f"| {check.state} | {check.name} | {_cell(check.said)} |" for check in order]
    total = ", ".join(f"{count} {state}" for state, count in counts.items())
    return "\n".join(["| | check | found |", "|---|---|---|", *rows, "", f"{total}."])


def exit_code(checks: Iterable[Check]) -> int:
    return int(any(check.state == FAILED for check in checks))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# What was launched ---------------------------------------------------------------------------------------------------


def of_launches(report: Mapping[str, Any]) -> Iterator[Check]:
    """cuDNN's kernels are started where it is allowed, and only there."""
    for network in report["networks"]:
        name = f"cuDNN on and off, launched: {network['model']}, {network['what']}"
        if report["device"] != "cuda":
            count = len(network["with"]["operators"])
            yield Check(name, NOT_CHECKED, f"no CUDA device; on the CPU the step ran, with {count} operators")
            continue
        yield Check(name, *_launched(network["with"], network["without"]))


def _launched(allowed: Mapping[str, list[str]], forbidden: Mapping[str, list[str]]) -> tuple[str, str]:
    if not allowed["kernels"] or not forbidden["kernels"]:
        return NOT_CHECKED, "the profiler saw no kernels (it may lack the right to)"
    wrong = [kernel for kernel in forbidden["kernels"] if _CUDNN_KERNEL.search(kernel)]
    wrong += [operator for operator in forbidden["operators"] if "cudnn" in operator]
    if wrong:
        return FAILED, f"without cuDNN there was {_few(wrong)}"
    right = [kernel for kernel in allowed["kernels"] if _CUDNN_KERNEL.search(kernel)]
    if right:
        return PASSED, f"{len(right)} of {len(allowed['kernels'])} kernels are cuDNN's ({_few(right)}); without it none"
    operators = [operator for operator in allowed["operators"] if "cudnn" in operator]
    if operators:
        return (
            NOT_CHECKED,
            f"{_few(operators)} ran, but no kernel has a name known as cuDNN's: {_few(allowed['kernels'])}",
        )
    return FAILED, f"cuDNN was allowed and not used: {_few(allowed['kernels'])}"


def _few(names: Sequence[str], count: int = 3, length: int = 60) -> str:
    """Some names, shortened: those of kernels fill pages."""
    shown = [name if len(name) <= length else name[: length - 3] + "..." for name in names[:count]]
    return ", ".join(shown) + (f" and {len(names) - count} more" if len(names) > count else "")


# Clocks --------------------------------------------------------------------------------------------------------------


def of_clocks(report: Mapping[str, Any]) -> Iterator[Check]:
    """The harness's clock shows what the device's own does, and nothing is left behind when it is read."""
    for network in report["networks"]:
        name = f"{network['model']}, {network['what']}, {network['mode']}"
        late, least = network["late_ns"], max(network["steps_ns"], LATE_LEAST_NS)
        steps = f"the steps took {network['steps_ns'] / 1e6:.3g} ms"
        said = f"a result came {late / 1e6:.3g} ms later than after a pause; {steps}"
        yield Check(f"no work left behind: {name}", FAILED if late > LATE_SHARE * least else PASSED, said)
        yield Check(f"CUDA events against our clock: {name}", *_agreement(network))
    if report["device"] == "cuda":
        yield Check("a clock that does not wait would be wrong", *_hasty(report["networks"]))


def _agreement(network: Mapping[str, Any]) -> tuple[str, str]:
    if network["event_ns"] is None:
        return NOT_CHECKED, "no CUDA device, so there are no events"
    off = network["wall_ns"] / network["event_ns"] - 1
    said = f"{network['wall_ns'] / 1e6:.4g} ms by ours, {network['event_ns'] / 1e6:.4g} ms by events: {off:+.2%}"
    return (PASSED if abs(off) <= CLOCK_LIMIT else FAILED), said


def _hasty(networks: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Only a network whose work is longer than starting it can show this."""
    network = min(networks, key=lambda one: one["unsynchronized_ns"] / one["wall_ns"])
    share = network["unsynchronized_ns"] / network["wall_ns"]
    said = f"it shows {share:.0%} of the time of {network['model']}, {network['what']}, {network['mode']}"
    return (PASSED, said) if share < HASTY else (NOT_CHECKED, f"starting takes as long as the work: {said}")


# The run -------------------------------------------------------------------------------------------------------------


def of_run(cells: Sequence[Mapping[str, Any]], energy: Mapping[str, str]) -> Iterator[Check]:
    """What a run's cells prove. cells: rows of `harness.load(...).cells` without the null adapter's, None for what is
    missing. energy: `Meter.available()`."""
    yield from _of_status(cells)
    yield from _of_loaded_cudnn(cells)
    yield from _of_precisions(cells)
    on_device = [cell for cell in cells if cell["device"] == "cuda" and cell["status"] == "ok"]
    if not on_device:
        for name in ("device memory of each process (NVML)", "energy of a step (NVML)"):
            yield Check(name, NOT_CHECKED, "no cell ran on a CUDA device")
    else:
        yield _of_memory(on_device)
        yield _of_energy(on_device, energy)
    contradictions = [f"{cell['cell']}: {text}" for cell in cells for text in cell["contradictions"] or ()]
    if cells:
        said = _few(contradictions, length=200) or "none of any cell"
        yield Check("contradictions between sources of memory", FAILED if contradictions else PASSED, said)


def _of_status(cells: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """A check for each way of executing, over all its models: what passed the gate and was timed, and what did not."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell in cells:
        without = "" if cell["cudnn"] in (True, None) else ", without cuDNN"
        what = cell["scenario"] if cell["scenario"] != "native" else f"native {cell['purpose']}"
        name = f"{cell['adapter']} {what}: {cell['mode']}, {cell['precision']}{without}, {cell['device']}"
        groups.setdefault((name, _state(cell)), []).append(cell)
    for (name, state), members in groups.items():
        models = ", ".join(dict.fromkeys(cell["model"] for cell in members))
        if state == PASSED:
            yield Check(name, state, f"right and timed: {models}")
        else:
            reasons = {cell["reason"] or "it was begun and not ended": None for cell in members}
            said = "; ".join(reasons)
            yield Check(
                name,
                state,
                f"{models}: {said}" if state == NOT_CHECKED else f"{models} ({members[0]['status']}): {said}",
            )


def _state(cell: Mapping[str, Any]) -> str:
    if cell["status"] in (None, "unsupported") or cell["reason"] == "interrupted":
        return NOT_CHECKED
    return PASSED if cell["status"] == "ok" else FAILED


def _of_loaded_cudnn(cells: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """cuDNN 8 and later load the parts that compute (libcudnn_ops, libcudnn_engines_..., ...) when they are first used;
    the front, libcudnn itself, comes with the framework."""
    pairs: dict[str, dict[bool, set[str]]] = {}
    for cell in cells:
        if cell["status"] == "ok" and cell["device"] == "cuda" and cell["facts"].get("ran"):
            files = cell["facts"]["ran"]["libraries"].get("cuDNN", [])
            parts = pairs.setdefault(f"{cell['adapter']} {cell['model']}, {cell['purpose']}, batch {cell['batch']}", {})
            parts.setdefault(bool(cell["cudnn"]), set()).update(files)
    pairs = {name: sides for name, sides in pairs.items() if len(sides) == 2}
    if not pairs:
        yield Check("cuDNN on and off, loaded", NOT_CHECKED, "no network ran on a CUDA device both with and without it")
    for name, sides in pairs.items():
        yield Check(f"cuDNN on and off, loaded: {name}", *_loaded(sides[True], sides[False]))


def _loaded(allowed: set[str], forbidden: set[str]) -> tuple[str, str]:
    used, still = _parts(allowed), _parts(forbidden)
    if not allowed:
        return NOT_CHECKED, "no library of cuDNN is mapped even with it: it may be linked in; see what was launched"
    if not used:
        return FAILED, f"with it only {_few(sorted(allowed))} is loaded, and no part that computes"
    if still:
        return NOT_CHECKED, f"{_few(still)} loaded without it too, which proves nothing; see what was launched"
    return PASSED, f"with it {_few(used)}; without it {_few(sorted(forbidden)) or 'nothing'}"


def _parts(files: Iterable[str]) -> list[str]:
    return sorted(file for file in files if file.startswith("libcudnn_"))


def _of_precisions(cells: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """A lower precision that is as exact as fp32 was not what ran. Judged on the network where it shows most."""
    errors: dict[tuple[Any, ...], dict[str, float]] = {}
    for cell in cells:
        if cell["status"] == "ok" and cell["purpose"] == "infer" and cell["max_relative_error"]:
            key = (cell["adapter"], cell["device"], cell["model"], cell["batch"])
            errors.setdefault(key, {})[cell["precision"]] = cell["max_relative_error"]
    seen: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for (adapter, device, model, _), by_precision in errors.items():
        for precision, error in by_precision.items():
            if precision != "fp32" and "fp32" in by_precision:
                times = error / by_precision["fp32"]
                seen.setdefault((adapter, device, precision), []).append((times, model))
    for (adapter, device, precision), found in seen.items():
        times, model = max(found)
        state = PASSED if times >= COARSER else FAILED
        yield Check(f"{adapter} {precision} is not fp32, {device}", state, f"{times:.3g} times fp32's error on {model}")


def _of_memory(cells: Sequence[Mapping[str, Any]]) -> Check:
    name = "device memory of each process (NVML)"
    sizes = [cell["peak_device_bytes"] for cell in cells if cell["peak_device_bytes"] is not None]
    if not sizes:
        reason = next((cell["facts"].get("device_memory") for cell in cells if cell["facts"].get("device_memory")), "")
        return Check(name, NOT_CHECKED, reason or "no cell says why")
    said = f"{min(sizes) / 2**20:.0f} to {max(sizes) / 2**20:.0f} MiB, of {len(sizes)} of {len(cells)} cells"
    return Check(name, PASSED if min(sizes) > 0 else FAILED, said)


def _of_energy(cells: Sequence[Mapping[str, Any]], energy: Mapping[str, str]) -> Check:
    name = "energy of a step (NVML)"
    joules = [cell["joules_per_step"] for cell in cells if cell["joules_per_step"] is not None]
    reasons = [reason for source, reason in energy.items() if reason and source.startswith(("gpu", "nvml"))]
    if not joules:
        return Check(name, NOT_CHECKED, "; ".join(reasons) or "no counter of a GPU was read")
    said = f"{min(joules):.3g} to {max(joules):.3g} J, of {len(joules)} of {len(cells)} cells"
    return Check(name, PASSED if max(joules) > 0 else FAILED, said)
