"""Thumbnails of a run for lists of runs: an animated one, and a still one for viewers that must not show motion."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dimple.runs.atomic_io import atomic_replace
from dimple.runs.run import RunFolder
from dimple.views.charts.timeline import plot_timeline
from dimple.views.content.frame import Chart, Frame, Timeline
from dimple.views.content.from_run import build_timeline
from dimple.views.drawing.plane import draw_plane
from dimple.views.film.canvas import DrawingRenderer
from dimple.views.film.settings import Film

# Width and height in pixels.
THUMBNAIL_SIZE = (480, 312)
MOVING_FILE = "moving.webp"
STILL_FILE = "still.webp"
# Diameter of markers in the plane, in pixels.
MARKER_SIZE = 9
# Scale of markers in space, and of the text of a chart, relative to a film.
MARKER_SCALE = 0.8
LETTER_SCALE = 1.3
# Fraction of the width and height of a picture in space that remains: a film has free space around the box.
CROP_FRACTION = 0.75


def write_thumbnails(run: RunFolder, frames: Sequence[Frame], folder: Path) -> None:
    """Write `moving.webp`, the boundary during training, and then `still.webp`, the boundary at the end.

    Args:
        run: the run.
        frames: the frames of the run, from `frames_from_run`. Without frames, for a run that cannot be drawn, the
            thumbnails show the curve of the distance to the boundary.
        folder: the folder of the files.

    Raises:
        DeviceError: for a scene in space, where no OpenGL library can draw.
        RunError: if the run cannot be read or the folder cannot be written.
    """
    timeline = build_timeline(run)
    images = list(_scene_images(frames) if frames else _curve_images(timeline))
    with atomic_replace(folder / MOVING_FILE) as temporary:
        images[0].save(
            temporary, "WEBP", save_all=True, append_images=images[1:], duration=frame_durations(timeline), loop=0,
            quality=70, method=4,
        )  # fmt: skip
    with atomic_replace(folder / STILL_FILE) as temporary:
        images[-1].save(temporary, "WEBP", quality=85, method=4)


def frame_durations(timeline: Timeline) -> list[int]:
    """Return the milliseconds for which each snapshot is shown.

    As in a film, the first and the last snapshot, and those at which a phase is complete, are shown longer.

    Example:
        >>> frame_durations(Timeline(np.array([0, 1, 2, 4, 8]), (), (("clung", 2),)))
        [1000, 125, 1000, 125, 1000]
    """
    film = Film()
    last = len(timeline.steps) - 1
    held = {0, last, *(min(int(np.searchsorted(timeline.steps, step)), last) for _, step in timeline.phases)}
    return [round(1000 * (film.hold if index in held else 1 / film.fps)) for index in range(last + 1)]


def _scene_images(frames: Sequence[Frame]) -> Iterator[Image.Image]:
    """Yield the picture of the scene at each snapshot, from the default position of the camera."""
    if frames[0].drawing.ambient_dim == 2:
        yield from (draw_plane(frame.drawing, THUMBNAIL_SIZE, MARKER_SIZE) for frame in frames)
        return
    size = (round(THUMBNAIL_SIZE[0] / CROP_FRACTION), round(THUMBNAIL_SIZE[1] / CROP_FRACTION))
    renderer = DrawingRenderer(frames[0], size, MARKER_SCALE)
    try:
        for frame in frames:
            yield ImageOps.fit(renderer.draw(frame), THUMBNAIL_SIZE, bleed=(1 - CROP_FRACTION) / 2)
    finally:
        renderer.close()


def _curve_images(timeline: Timeline) -> Iterator[Image.Image]:
    """Yield pictures of the first curve with its baseline, with a cursor at one snapshot after the other."""
    first_chart, *_ = timeline.charts
    curve, *_ = first_chart.curves
    chart = Chart(curve.name, (curve,), first_chart.unit, first_chart.limits)
    timeline_image = plot_timeline(
        Timeline(timeline.steps, (chart,), timeline.phases), THUMBNAIL_SIZE, LETTER_SCALE, stacked=True
    )
    yield from (timeline_image.draw_cursor(index) for index in range(len(timeline.steps)))
