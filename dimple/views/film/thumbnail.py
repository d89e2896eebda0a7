"""A run as a small moving picture for lists of runs, and the still that stands for it where nothing should move."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dimple.runs.atomic_io import replacing
from dimple.runs.run import Run
from dimple.views.charts.timeline import plot_strip
from dimple.views.content.frame import Chart, Frame, Timeline
from dimple.views.content.from_run import timeline_of
from dimple.views.drawing.plane import draw_plane
from dimple.views.film.canvas import Canvas
from dimple.views.film.settings import Film

SIZE = (480, 312)
MOVING, STILL = "moving.webp", "still.webp"
MARKER = 9
# Of markers in space and of the letters of a curve, which are those of a film drawn smaller.
SCALE, LETTERS = 0.8, 1.3
# The part of a scene in space that is shown: a film leaves room around the box, which a small picture cannot spare.
SHOWN = 0.75


def write_thumbnails(run: Run, frames: Sequence[Frame], folder: Path) -> None:
    """Write `moving.webp`, the boundary through training, and `still.webp`, where it ends; the still is written last.

    Args:
        frames: of the run, from `frames_of_run`; none for a run that cannot be drawn, which is shown by the curve of
            its boundary's distance.

    Raises:
        DeviceError: for a scene in space, where no OpenGL library can draw.
        RunError: if the run cannot be read or the folder cannot be written.
    """
    timeline = timeline_of(run)
    pictures = list(_scenes(frames) if frames else _curves(timeline))
    with replacing(folder / MOVING) as temporary:
        pictures[0].save(
            temporary, "WEBP", save_all=True, append_images=pictures[1:], duration=durations(timeline), loop=0,
            quality=70, method=4,
        )  # fmt: skip
    with replacing(folder / STILL) as temporary:
        pictures[-1].save(temporary, "WEBP", quality=85, method=4)


def durations(timeline: Timeline) -> list[int]:
    """For how many milliseconds each snapshot stays: as in the film, longer at both ends and where a phase is complete.

    Example:
        >>> durations(Timeline(np.array([0, 1, 2, 4, 8]), (), (("clung", 2),)))
        [1000, 125, 1000, 125, 1000]
    """
    film, last = Film(), len(timeline.steps) - 1
    held = {0, last, *(min(int(np.searchsorted(timeline.steps, step)), last) for _, step in timeline.phases)}
    return [round(1000 * (film.hold if place in held else 1 / film.fps)) for place in range(last + 1)]


def _scenes(frames: Sequence[Frame]) -> Iterator[Image.Image]:
    """The scene at every snapshot, seen from where the film looks in the middle of its turn."""
    if frames[0].drawing.ambient_dim == 2:
        yield from (draw_plane(frame.drawing, SIZE, MARKER) for frame in frames)
        return
    size = round(SIZE[0] / SHOWN), round(SIZE[1] / SHOWN)
    canvas = Canvas(frames[0], size, SCALE)
    try:
        for frame in frames:
            yield ImageOps.fit(canvas.draw(frame), SIZE, bleed=(1 - SHOWN) / 2)
    finally:
        canvas.close()


def _curves(timeline: Timeline) -> Iterator[Image.Image]:
    """The first curve with its null, and a cursor that runs along it."""
    whole, *_ = timeline.charts
    curve, *_ = whole.curves
    chart = Chart(curve.name, (curve,), whole.unit, whole.limits)
    strip = plot_strip(Timeline(timeline.steps, (chart,), timeline.phases), SIZE, LETTERS, stacked=True)
    yield from (strip.at(index) for index in range(len(timeline.steps)))
