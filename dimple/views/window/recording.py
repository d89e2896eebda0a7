"""Screenshots and films of a window, written next to the run folder. Existing files are never replaced."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from dimple.runs.atomic_io import atomic_replace
from dimple.views.content.metadata import Metadata, png_metadata
from dimple.views.film.encoder import open_encoder
from dimple.views.film.settings import Film
from dimple.views.window.multi_view import MultiView

# Factor by which a screenshot is rendered larger and then reduced, which gives smooth edges without a graphics card.
SUPERSAMPLING = 2


def write_screenshot(multi_view: MultiView, size: tuple[int, int]) -> Path:
    """Write the present view as a PNG, named after the runs and the step.

    Args:
        multi_view: the view.
        size: width and height in pixels.

    Returns:
        The path of the file, next to the folder of the first run.

    Raises:
        RunError: if the file cannot be written.
    """
    path = unused_path(multi_view, f"step-{multi_view.step}", ".png")
    with contextlib.closing(multi_view.offscreen_copy(size, SUPERSAMPLING)) as copy:
        image = copy.render().reduce(SUPERSAMPLING)
    with atomic_replace(path) as temporary:
        image.save(temporary, pnginfo=png_metadata(_combined_metadata(multi_view)))
    return path


def record_film(
    multi_view: MultiView, path: Path, steps: Sequence[int], fps: int, size: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Record a film of the present view over training steps. The first and the last image stay for one second.

    This is a generator, so that the caller can do other work between two images. Closed before its end, it leaves no
    file.

    Args:
        multi_view: the view, with its present camera and options.
        path: of the mp4, from `unused_path`.
        steps: training steps, increasing.
        fps: images per second.
        size: width and height in pixels, both even.

    Yields:
        The number of finished images and the number of all images.

    Raises:
        DeviceError: if there is no encoder.
        RunError: if the file cannot be written.
    """
    with (
        contextlib.closing(multi_view.offscreen_copy(size)) as copy,
        open_encoder(path, Film(fps=fps), size, _combined_metadata(multi_view)) as add_image,
    ):
        for number, step in enumerate(steps):
            copy.show_step(step)
            add_image(copy.render(), fps if number in (0, len(steps) - 1) else 1)
            yield number + 1, len(steps)


def _combined_metadata(multi_view: MultiView) -> Metadata:
    """Return the metadata of all runs. Different settings are joined as YAML documents, other values by "and"."""
    metadata = [animation.run.metadata for animation in multi_view.animations]
    separators = {"Settings": "\n---\n"}
    return {
        name: separators.get(name, " and ").join(dict.fromkeys(entries.get(name, "") for entries in metadata))
        for name in metadata[0]
    }


def unused_path(multi_view: MultiView, label: str, suffix: str) -> Path:
    """Return a path next to the folder of the first run, named after the runs, at which no file exists."""
    folders = [animation.run.path.resolve() for animation in multi_view.animations]
    stem = "-and-".join(folder.name for folder in folders) + f"-{label}"
    path = folders[0].parent / f"{stem}{suffix}"
    number = 1
    while path.exists():
        number += 1
        path = folders[0].parent / f"{stem}-{number}{suffix}"
    return path
