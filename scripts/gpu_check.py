"""The steps of scripts/gpu_check.sh, which says how it is called.

Everything that a step saw is kept in OUT beside the run: doctor.txt, state.json, launches.json, clocks.json, and
gpu_check.json and gpu_check.md with what passed, what failed, and what could not be checked and why.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import verdicts
from verdicts import FAILED, NOT_CHECKED, PASSED, Check

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent

#: Frameworks that are looked for; those without an adapter are named only.
FRAMEWORKS = ("torch", "jax")

#: A dependency of the harness that this check can do without: it makes no environments.
NOT_NEEDED = {"uv"}

#: Exit code where something that the check needs is not there.
NOT_THERE = 2

#: Seconds that a proof, and a run that was told to stop, may take.
PROOF_SECONDS, STOPPING_SECONDS = 240, 90

#: Networks of the proofs: (model, what, batch on a GPU, batch on a CPU).
LAUNCHED = (("lenet5", "infer", 8, 2), ("lenet5", "train", 8, 2), ("lstm", "infer", 8, 2))
TIMED = (("gemm", "infer", 8192, 64), ("lenet5", "infer", 8, 8), ("lenet5", "train", 8, 8))

#: Asked of an interpreter that may have PyTorch: prints one JSON object, {} where it has not.
_ASK_TORCH = """
import importlib.util, json
facts = {}
if importlib.util.find_spec("torch"):
    import torch
    facts = {"torch": torch.__version__, "cuda_of_torch": torch.version.cuda, "sees_gpu": torch.cuda.is_available()}
    if facts["sees_gpu"]:
        facts["card"] = torch.cuda.get_device_name()
        facts["compute_capability"] = torch.cuda.get_device_capability()
        facts["cudnn"] = torch.backends.cudnn.version()
print(json.dumps(facts))
"""

_ASK_FOR = """
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class NotThere(Exception):
    """Something that the check needs is not there."""


# What is needed ------------------------------------------------------------------------------------------------------


def lacking(requirements: Iterable[str]) -> list[str]:
    """Those of some requirements ("name>=1.2") that this interpreter does not meet, with what it has instead."""
    found = []
    for requirement in requirements:
        match = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", requirement)
        assert match is not None
        name, least = match[1], match[2] or "0"
        if name in NOT_NEEDED:
            continue
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(requirement)
            continue
        if _numbers(version) < _numbers(least):
            found.append(f"{requirement} (here is {version})")
    return found


def _numbers(version: str) -> list[int]:
    """The release of a version: [2, 11, 0] of "2.11.0+cu130"."""
    match = re.match(r"[\d.]+", version)
    return [int(part) for part in match[0].split(".") if part] if match else [0]


def check_needs() -> None:
    """Raise NotThere where the harness cannot run in this interpreter."""
    if sys.version_info < (3, 11):  # noqa: UP036 - whatever python3 is here runs this file
        raise NotThere(f"the harness needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    missing = lacking(project["dependencies"])
    if missing:
        listed = "\n  ".join(missing)
        raise NotThere(
            f"the harness needs packages that {sys.executable} has not:\n  {listed}\n"
            "Nothing is installed by this check. With a network: python3 -m pip install NAME... Without one: bring\n"
            "wheels (python3 -m pip download NAME... elsewhere), then python3 -m pip install --no-index\n"
            "--find-links FOLDER NAME...; or name an interpreter that has them in the variable PYTHON."
        )


def ask(python: str, script: str, *arguments: str) -> Any:
    answer = subprocess.run([python, "-c", script, *arguments], capture_output=True, text=True, timeout=PROOF_SECONDS)
    if answer.returncode:
        last = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotThere(f"{python} does not start or cannot import its framework: {last}")
    return json.loads(answer.stdout.strip().splitlines()[-1])


# The steps -----------------------------------------------------------------------------------------------------------


class Session:
    """One check. out: the run's folder. python: the interpreter that has PyTorch. deadline: by time.monotonic()."""

    def __init__(self, out: Path, python: str, deadline: float):
        self.out, self.python, self.deadline = out, python, deadline
        self.checks: list[Check] = []
        self.device = "cpu"

    def state(self) -> None:
        """Card, driver, CUDA, cuDNN, frameworks."""
        from harness import devices

        gpu, torch = devices.examine(), ask(self.python, _ASK_TORCH)
        versions = ask(self.python, _ASK_FOR, *FRAMEWORKS)
        if not torch:
            here = f"{self.python} has no torch" + (f", only {', '.join(versions)}" if versions else "")
            raise NotThere(f"{here}; HARNESS_TORCH_PYTHON names an interpreter that has it")
        facts = {
            "cards": [card.name for card in gpu.gpus],
            "driver": gpu.driver_version or None,
            "cuda_of_driver": ".".join(map(str, gpu.cuda_version)) if gpu.cuda_version else None,
            "nvml": gpu.problem or "answers",
            **torch,
            "frameworks": versions,
        }
        self.keep("state.json", facts)
        print("\n".join(f"  {name}: {value}" for name, value in facts.items()), flush=True)
        self.device = "cuda" if torch["sees_gpu"] else "cpu"
        if torch["sees_gpu"]:
            said = f"{torch['card']}, driver {facts['driver']}, CUDA {torch['cuda_of_torch']}, cuDNN {torch['cudnn']}"
            self.add("a GPU that PyTorch uses", PASSED, said)
        elif gpu.problem:
            self.add("a GPU that PyTorch uses", NOT_CHECKED, gpu.problem)
        else:
            self.add(
                "a GPU that PyTorch uses", NOT_CHECKED, f"{gpu.gpus[0].name} is here; torch {torch['torch']} finds none"
            )
        for name in FRAMEWORKS:
            if name in versions and not (ROOT / "adapters" / name / "adapter.toml").is_file():
                self.add(
                    name, NOT_CHECKED, f"{name} {versions[name]} is here, but the harness has no adapter for it yet"
                )
            elif name not in versions and name != "torch":
                self.add(name, NOT_CHECKED, f"{name} is not installed for this interpreter")

    def doctor(self) -> None:
        answer = subprocess.run(
            self.harness("doctor"), env=self.variables(), capture_output=True, text=True, timeout=120
        )
        (self.out / "doctor.txt").write_text(without_paths(answer.stdout + answer.stderr))
        last = (answer.stderr.strip().splitlines() or ["it has no finding"])[-1]
        said = "its findings are in doctor.txt" if answer.returncode == 0 else without_paths(last)
        self.add("harness doctor", PASSED if answer.returncode == 0 else FAILED, said)

    def proofs(self) -> None:
        """What is launched with and without cuDNN, and whether clocks agree: seen from inside PyTorch."""
        for script, networks, judge, kept in (
            ("cudnn_launched.py", LAUNCHED, verdicts.of_launches, "launches.json"),
            ("clocks_agree.py", TIMED, verdicts.of_clocks, "clocks.json"),
        ):
            print(f"  {script}", flush=True)
            failure = self.prove(script, networks, self.out / kept)
            if failure:
                self.add(script, FAILED, failure)
            else:
                self.checks += judge(json.loads((self.out / kept).read_text()))

    def prove(self, script: str, networks: Iterable[tuple[str, str, int, int]], result: Path) -> str:
        """Run one proof with PyTorch's interpreter, in the surroundings of a worker; "" or how it failed."""
        from harness.matrix import usable_cores
        from harness.worker import worker_variables

        threads = usable_cores()
        plan = {"adapter": "torch", "device": self.device, "threads": threads, "networks": list(self.bundles(networks))}
        scratch = result.with_suffix(".plan")
        scratch.write_text(json.dumps(plan))
        log = result.with_suffix(".log")
        try:
            with log.open("w") as output:
                code = subprocess.run(
                    [self.python, HERE / script, scratch.absolute(), result.absolute()],
                    env=worker_variables(threads, self.device, {}),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=PROOF_SECONDS,
                ).returncode
        except subprocess.TimeoutExpired:
            return f"it was not done after {PROOF_SECONDS} s"
        finally:
            scratch.unlink()
        if code:
            last = (log.read_text().strip().splitlines() or ["nothing was printed"])[-1]
            return f"exit code {code}: {without_paths(last)}"
        log.unlink()
        return ""

    def bundles(self, networks: Iterable[tuple[str, str, int, int]]) -> Iterator[dict[str, str]]:
        from harness.spec import prepare

        for model, what, large, small in networks:
            workload = prepare.Workload(prepare.find(model), what, large if self.device == "cuda" else small, seed=0)
            bundle = workload.bundle(None, "channels-first")
            yield {"model": model, "what": what, "bundle": str(bundle.folder), "inputs": str(workload.inputs())}

    def run(self) -> None:
        """`harness run`, told to stop when the time is spent: what it has measured by then counts."""
        suite = HERE / ("gpu.toml" if self.device == "cuda" else "gpu_rehearsal.toml")
        torch = "current" if self.python == sys.executable else self.python
        command = self.harness(
            "run", "torch", "--env", f"torch={torch}", "--env", "null=current", "--device", self.device,
            "--suite", str(suite.relative_to(ROOT)), "--out", str(self.out.parent), "--name", self.out.name,
        )  # fmt: skip
        process = subprocess.Popen(command, env=self.variables(), cwd=ROOT)
        try:
            code = process.wait(max(1.0, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            self.add("the run went to its end", NOT_CHECKED, "its time was spent: what it did not come to is not here")
            try:
                process.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return
        if code:
            self.add("the run went to its end", FAILED, f"harness run ended with exit code {code}")
        else:
            self.add("the run went to its end", PASSED, f"suite {suite.name}")

    def results(self) -> None:
        import harness
        from harness.errors import HarnessError
        from harness.measure.energy import Meter
        from harness.measure.gpu import Nvml
        from harness.results import NULL_ADAPTER

        try:
            cells = harness.load(self.out).cells
        except HarnessError as error:
            self.add("the run can be read", FAILED, error.what)
            return
        cells = cells[cells.adapter != NULL_ADAPTER].astype(object)
        with Nvml() as nvml:
            energy = Meter(nvml=nvml).available()
        self.checks += verdicts.of_run(cells.where(cells.notna(), None).to_dict("records"), energy)

    def harness(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "harness", *words]

    def variables(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}

    def add(self, name: str, state: str, said: str) -> None:
        self.checks.append(Check(name, state, said))

    def keep(self, name: str, what: Any) -> None:
        (self.out / name).write_text(json.dumps(what, indent=1) + "\n")


def without_paths(text: str) -> str:
    """A text that may be published: folders of this machine by their short names."""
    for name, path in (("$HARNESS_HOME", os.environ.get("HARNESS_HOME")), (".", str(ROOT)), ("~", str(Path.home()))):
        if path and path != "/":
            text = text.replace(path, name)
    return text


def check(out: Path, minutes: float) -> int:
    """All steps; the exit code."""
    deadline = time.monotonic() + minutes * 60
    check_needs()
    sys.path.insert(0, str(ROOT))
    if (out / "journal.jsonl").exists():
        raise NotThere(f"{out} holds a run already: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    session = Session(out.absolute(), os.environ.get("HARNESS_TORCH_PYTHON") or sys.executable, deadline)
    for number, step in enumerate((session.state, session.doctor, session.proofs, session.run, session.results), 1):
        print(f"{number}. {step.__name__}", flush=True)
        step()
    session.keep("gpu_check.json", {"device": session.device, "checks": [asdict(one) for one in session.checks]})
    text = verdicts.summary(session.checks)
    (out / "gpu_check.md").write_text(f"# GPU check on {session.device}\n\n{text}\n")
    print(f"\n{text}\n\nrun folder: {out}")
    return verdicts.exit_code(session.checks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=(__doc__ or "").partition("\n")[0])
    default = Path("reports") / f"gpu-check-{datetime.now():%Y-%m-%d-%H%M%S}"
    parser.add_argument("out", nargs="?", type=Path, default=default, help="the run's folder (reports/gpu-check-DATE)")
    parser.add_argument("--minutes", type=float, default=8, help="in all; a run that takes longer is told to stop (8)")
    arguments = parser.parse_args()
    try:
        return check(arguments.out, arguments.minutes)
    except NotThere as problem:
        print(f"gpu_check: {problem}", file=sys.stderr)
        return NOT_THERE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
