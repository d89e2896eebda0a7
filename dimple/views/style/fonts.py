"""The typeface of every picture: the one that matplotlib ships, so that they are the same on every machine."""

import functools
from pathlib import Path

from PIL import ImageFont


def font_file(bold: bool = False) -> Path:
    """Where that typeface lies.

    Example:
        >>> font_file().name
        'DejaVuSans.ttf'
    """
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


@functools.cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The typeface at a size in pixels, for Pillow."""
    return ImageFont.truetype(str(font_file(bold)), size)
