"""Is a ratio the same when measured again, and beside a neighbour that burns a core in bursts?

    python benchmarks/contention.py [--env ADAPTER=PYTHON ...]

Measures two frameworks on one model as `harness run` does: ten times on a quiet machine (the ratio's coefficient of
variation), then beside a neighbour whose bursts and pauses last between 0.1 and 0.5 seconds. Beside it the ratio must
stay within 5 % of the quiet one, or be reported as "cannot tell".
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _results

import harness

#: Runs on a quiet machine, and beside the neighbour.
QUIET, DISTURBED = 10, 4

NEIGHBOUR = """
import random, time
chance = random.Random(0)
while True:
    end = time.monotonic() + chance.uniform(0.1, 0.5)
    while time.monotonic() < end:
        pass
    time.sleep(chance.uniform(0.1, 0.5))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", nargs=2, default=["torch", "mxnet"], help="the first is the baseline")
    parser.add_argument("--model", default="lenet5")
    parser.add_argument("--batch", default="8")
    parser.add_argument("--env", action="append", default=[], metavar="ADAPTER=PYTHON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quiet = [measure(asked, Path(folder), f"quiet-{i}") for i in range(QUIET)]
        with neighbour():
            disturbed = [measure(asked, Path(folder), f"disturbed-{i}") for i in range(DISTURBED)]
    return report(asked, quiet, disturbed)


@contextmanager
def neighbour() -> Iterator[None]:
    """Somebody who takes one core in bursts."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(asked: argparse.Namespace, folder: Path, name: str) -> dict[str, Any]:
    """One run of its own: the ratio of the second adapter to the first, its interval, and what was left out."""
    command = [sys.executable, "-m", "harness", "run", *asked.adapters, "--models", asked.model, "--batch", asked.batch]
    command += ["--scenarios", "infer", "--out", str(folder), "--name", name]
    command += [f"--env={given}" for given in asked.env]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    cells = harness.load(folder / name).cells.set_index("adapter")
    base, other = asked.adapters
    return {
        "run": name,
        "ratio": float(cells.at[other, "ratio"]),
        "low": float(cells.at[other, "ratio_ci_low"]),
        "high": float(cells.at[other, "ratio_ci_high"]),
        "verdict": str(cells.at[other, "verdict"]),
        "samples": int(cells.loc[[base, other], "samples"].sum()),
        "waited": int(cells.loc[[base, other], "contended_samples"].sum()),
    }


def report(asked: argparse.Namespace, quiet: list[dict[str, Any]], disturbed: list[dict[str, Any]]) -> int:
    base, other = asked.adapters
    title = f"{other} over {base}: {asked.model}, batch {asked.batch}, inference"
    _results.show(title, list(quiet[0]), [list(run.values()) for run in [*quiet, *disturbed]])
    ratios = [run["ratio"] for run in quiet]
    middle = statistics.median(ratios)
    variation = statistics.stdev(ratios) / statistics.mean(ratios)
    told = [run for run in disturbed if run["verdict"] != "cannot tell"]
    off = max((abs(run["ratio"] / middle - 1) for run in told), default=0.0)
    claims = {
        f"coefficient of variation of {QUIET} quiet ratios": (variation, 0.015),
        f"the farthest that a ratio told beside the neighbour is off ({len(told)} of {DISTURBED} told)": (off, 0.05),
    }
    figures = {"pair": [other, base], "quiet": quiet, "disturbed": disturbed, "variation": variation, "off": off}
    _results.keep("contention", figures)
    return 0 if _results.judge(claims) else 1


if __name__ == "__main__":
    sys.exit(main())
