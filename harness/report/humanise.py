"""Numbers for people: three significant digits, and a unit that keeps them short. Raw figures stay in the frames."""

from __future__ import annotations

import math
from typing import Any

import pandas

#: Stands where there is no figure, and between the ends of an interval.
NOTHING = "\N{EN DASH}"

TIMES = "\N{MULTIPLICATION SIGN}"

_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_BYTE_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_ENERGY_UNITS = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"))
_COUNT_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def known(value: Any) -> bool:
    """Whether there is a figure: neither None nor NaN nor pandas.NA."""
    return value is not None and not pandas.isna(value)


def digits(value: float, significant: int = 3) -> str:
    """Three significant digits (or another number), without an exponent: 0.0123, 1.23, 12.3, 1230."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{significant - 1}e}")
    return f"{rounded:.{max(0, significant - 1 - math.floor(math.log10(abs(rounded))))}f}"


def _scaled(value: Any, units: tuple[tuple[float, str], ...], by: float | None = None) -> str:
    if not known(value):
        return NOTHING
    size = abs(float(f"{float(value if by is None else by):.2e}"))
    factor, unit = next(((factor, unit) for factor, unit in units if size >= factor), units[-1])
    return f"{digits(float(value) / factor)} {unit}".rstrip()


def duration(ns: Any) -> str:
    """Nanoseconds as "12.3 ms"."""
    return _scaled(ns, _TIME_UNITS)


def interval(low: Any, high: Any) -> str:
    """Both ends of an interval of nanoseconds in one unit: "12.1 to 12.6 ms", with a dash."""
    if not (known(low) and known(high)):
        return NOTHING
    lower, _, lower_unit = _scaled(low, _TIME_UNITS, by=high).partition(" ")
    return f"{lower} {NOTHING} {_scaled(high, _TIME_UNITS)}" if lower_unit else NOTHING


def spread(median: Any, low: Any, high: Any) -> str:
    """Half the width of an interval, relative to its median: "±3%"; empty where unknown."""
    if not (known(median) and known(low) and known(high)):
        return ""
    percent = 50 * (high - low) / median
    return f"±{percent:.1f}%" if percent < 0.95 else f"±{percent:.0f}%"


def size(count: Any) -> str:
    """Bytes as "12.3 MB" (a megabyte is 10**6 bytes)."""
    return _scaled(count, _BYTE_UNITS)


def count(number: Any) -> str:
    """A number as "1.23 M"."""
    if known(number) and abs(number) < 1000 and float(number).is_integer():
        return str(int(number))
    return _scaled(number, _COUNT_UNITS)


def joules(value: Any) -> str:
    """Energy as "12.3 mJ"."""
    return _scaled(value, _ENERGY_UNITS)


def many(number: int, noun: str) -> str:
    """ "1 thread", "2 threads"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def rate(per_second: Any) -> str:
    """A throughput as "1.23 k/s"."""
    return f"{_scaled(per_second, _COUNT_UNITS)}/s" if known(per_second) else NOTHING


def seconds(value: Any) -> str:
    """Seconds as "12.3 s"."""
    return duration(value * 1e9) if known(value) else NOTHING


def ratio(value: Any) -> str:
    """Time relative to the baseline: "1.05" and a multiplication sign."""
    if not known(value):
        return NOTHING
    return f"{format(value, '.2f') if 0.1 <= value < 100 else digits(value, 2 if value < 1 else 3)}{TIMES}"


def ratio_interval(low: Any, high: Any) -> str:
    """Both ends of a ratio's interval: "1.02 to 1.08", with a dash."""
    return f"{ratio(low)[:-1]} {NOTHING} {ratio(high)[:-1]}" if known(low) and known(high) else NOTHING


def percent(share: Any, significant: int = 2) -> str:
    """A share as "2.3 %"."""
    return f"{digits(100 * share, significant)} %" if known(share) else NOTHING


def error(value: Any) -> str:
    """A relative error: "1.2e-06"."""
    return f"{value:.1e}" if known(value) else NOTHING


def plain(value: Any) -> str:
    """Anything else, as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or NOTHING
    return str(value) if known(value) else NOTHING
