"""What is installed in the environment of an interpreter: asked of that interpreter itself, by a script without imports
of its own."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError

#: Runs in Python 3.7 and later. Sizes are those of files, each counted once however many names it has.
_SCRIPT = """
import importlib.util, json, os, platform, sys, sysconfig
packages = {}
try:
    from importlib.metadata import distributions
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name and name not in packages:
            packages[name] = distribution.version
except ImportError:
    from email.parser import HeaderParser
    for folder in sys.path:
        for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            file = os.path.join(folder, entry, "METADATA")
            if entry.endswith(".dist-info") and os.path.isfile(file):
                with open(file, encoding="utf-8", errors="replace") as text:
                    headers = HeaderParser().parse(text)
                packages.setdefault(headers["Name"], headers["Version"])
sites = sorted({sysconfig.get_paths()[key] for key in ("purelib", "platlib")})
seen, size = set(), 0
for site in sites:
    for folder, _, files in os.walk(site):
        for name in files:
            status = os.lstat(os.path.join(folder, name))
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                size += status.st_size
modules = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is not None]
print(json.dumps({
    "python_version": platform.python_version(), "packages": packages, "bytes_on_disk": size,
    "site_packages": sites, "modules": modules,
}))
"""


@dataclass(frozen=True)
class Inspection:
    """packages: versions by distribution. bytes_on_disk: of all files in site-packages, hard links counted once.

    modules: those of the asked-for top-level modules that can be found.
    """

    python_version: str
    packages: dict[str, str]
    bytes_on_disk: int
    site_packages: tuple[Path, ...]
    modules: tuple[str, ...]


def inspect(python: Path, modules: tuple[str, ...] = ()) -> Inspection:
    """Ask an interpreter what is installed for it. Nothing is imported. Raises HarnessError if it does not answer."""
    command = [str(python), "-I", "-c", _SCRIPT, *modules]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        facts = json.loads(ended.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HarnessError(f"{python}: {error}", "Name the executable of a Python, 3.7 or newer.") from None
    except (ValueError, IndexError):
        last = (ended.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise HarnessError(f"{python}: not a Python that answers: {last}", "Name a Python, 3.7 or newer.") from None
    return Inspection(
        python_version=facts["python_version"],
        packages=dict(sorted(facts["packages"].items(), key=lambda item: item[0].lower())),
        bytes_on_disk=facts["bytes_on_disk"],
        site_packages=tuple(map(Path, facts["site_packages"])),
        modules=tuple(facts["modules"]),
    )
