"""Pictures and films of what a window shows, beside the run and never over an older file."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from dimple.runs.atomic_io import replacing
from dimple.views.content.metadata import Imprint, in_png
from dimple.views.film.film import encoder
from dimple.views.film.settings import Film
from dimple.views.window.multi_view import Exhibit

# A picture is drawn so many times as wide and high, and reduced: smooth edges without a graphics card.
SUPERSAMPLING = 2


def write_picture(exhibit: Exhibit, size: tuple[int, int]) -> Path:
    """What an exhibit shows as a PNG of a size in pixels, named after the runs and the step.

    Returns:
        The file, beside the first run's folder.

    Raises:
        RunError: if it cannot be written.
    """
    path = free_path(exhibit, f"step-{exhibit.step}", ".png")
    with contextlib.closing(exhibit.copy(size, SUPERSAMPLING)) as copy:
        picture = copy.picture().reduce(SUPERSAMPLING)
    with replacing(path) as temporary:
        picture.save(temporary, pnginfo=in_png(_imprint(exhibit)))
    return path


def write_film(
    exhibit: Exhibit, path: Path, steps: Sequence[int], fps: int, size: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Film an exhibit as it is shown now, from step to step; the first and the last stay for a second.

    A generator, so that whoever draws it has time for other things between two pictures; closed before its end it
    leaves no file.

    Args:
        path: of the mp4, from `free_path`.
        size: in pixels, both even.

    Yields:
        How many pictures of how many are done.

    Raises:
        DeviceError: if there is no encoder.
        RunError: if the file cannot be written.
    """
    with contextlib.closing(exhibit.copy(size)) as copy, encoder(path, Film(fps=fps), size, _imprint(exhibit)) as add:
        for number, step in enumerate(steps):
            copy.show(step)
            add(copy.picture(), fps if number in (0, len(steps) - 1) else 1)
            yield number + 1, len(steps)


def _imprint(exhibit: Exhibit) -> Imprint:
    """What the runs say of themselves, together; the settings of two are two documents of YAML."""
    imprints = [reel.show.imprint for reel in exhibit.reels]
    between = {"Settings": "\n---\n"}
    return {
        name: between.get(name, " and ").join(dict.fromkeys(imprint.get(name, "") for imprint in imprints))
        for name in imprints[0]
    }


def free_path(exhibit: Exhibit, what: str, suffix: str) -> Path:
    """A file beside the first run's folder that is named after the runs and not there yet."""
    folders = [reel.show.path.resolve() for reel in exhibit.reels]
    stem = "-and-".join(folder.name for folder in folders) + f"-{what}"
    path, number = folders[0].parent / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folders[0].parent / f"{stem}-{number}{suffix}"
    return path
