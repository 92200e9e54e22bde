"""One environment per adapter and device, made by uv from the adapter's lock file.

`ensure` makes or finds one, `given` takes an interpreter as it is, `inspect` says what is installed for an
interpreter, `listing` and `remove` look after those that were made, `lock` writes lock files anew.
"""

from harness.environments.inspection import Inspection, inspect
from harness.environments.locking import lock
from harness.environments.making import Environment, EnvironmentFailed, ensure, given
from harness.environments.upkeep import Listed, listing, remove

__all__ = [
    "Environment",
    "EnvironmentFailed",
    "Inspection",
    "Listed",
    "ensure",
    "given",
    "inspect",
    "listing",
    "lock",
    "remove",
]
