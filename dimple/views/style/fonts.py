"""The font of all pictures. It is the one that matplotlib contains, so pictures are the same on every machine."""

import functools
from pathlib import Path

from PIL import ImageFont


def font_file(bold: bool = False) -> Path:
    """Return the path of the font file.

    Example:
        >>> font_file().name
        'DejaVuSans.ttf'
    """
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")


@functools.cache
def load_font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font for Pillow, at a size in pixels."""
    return ImageFont.truetype(str(font_file(bold)), size)
