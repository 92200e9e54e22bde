"""Pictures for image networks: lines of text in Matplotlib's own font, and the photograph that Matplotlib carries.

Pixels are float32 [height, width, 3] from 0 to 255. Matplotlib is not imported: its files are read.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy
from PIL import Image, ImageDraw, ImageFont

#: Left, upper, right and lower edge of the face in the photograph.
_HEAD = (170, 120, 390, 340)


def text(height: int, width: int, lines: list[str]) -> numpy.ndarray:
    """Dark lines of text on a light ground."""
    image = Image.new("RGB", (width, height), (236, 232, 220))
    step = height // len(lines)
    font = ImageFont.truetype(str(_matplotlib("fonts/ttf/DejaVuSans.ttf")), int(0.6 * step))
    for index, line in enumerate(lines):
        ImageDraw.Draw(image).text((4, index * step + step // 8), line, font=font, fill=(24, 24, 40))
    return numpy.asarray(image, numpy.float32)


def face(height: int, width: int, shift: float = 0.0) -> numpy.ndarray:
    """A face from the front, with glasses, below a cap; shift: moves the cut sideways, in parts of its width."""
    left, upper, right, lower = _HEAD
    moved = int(shift * (right - left))
    return _cut((left + moved, upper, right + moved, lower), height, width)


def portrait(height: int, width: int, mirrored: bool = False) -> numpy.ndarray:
    """A person in uniform before a flag, from the waist up."""
    whole = _cut((0, 0, *_photograph().size), height, width)
    return whole[:, ::-1].copy() if mirrored else whole


def _cut(box: tuple[int, int, int, int], height: int, width: int) -> numpy.ndarray:
    return numpy.asarray(_photograph().crop(box).resize((width, height), Image.Resampling.BILINEAR), numpy.float32)


@functools.cache
def _photograph() -> Image.Image:
    return Image.open(_matplotlib("sample_data/grace_hopper.jpg")).convert("RGB")


def _matplotlib(name: str) -> Path:
    found = importlib.util.find_spec("matplotlib")
    assert found and found.submodule_search_locations, "Matplotlib is not installed: pip install 'harness[test]'"
    return Path(found.submodule_search_locations[0]) / "mpl-data" / name
