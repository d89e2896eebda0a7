"""Thumbnails: as many moments as snapshots, the last as a still, and the scene seen in both."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.runs import Run
from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_of_run
from dimple.views.film.thumbnail import MOVING, SIZE, STILL, write_thumbnails
from dimple.views.style.colors import CLASSES, INK
from tests.views.material import STEPS, write_flat_run, write_run


def pictures(run: Run, frames: list[Frame], folder: Path) -> tuple[list[np.ndarray], list[int]]:
    """The moments of the moving thumbnail with their durations in milliseconds; the last of them is the still."""
    write_thumbnails(run, frames, folder)
    moments, durations = [], []
    with Image.open(folder / MOVING) as moving:
        assert (moving.size, moving.n_frames, moving.info["loop"]) == (SIZE, len(STEPS), 0)
        for number in range(moving.n_frames):
            moving.seek(number)
            moving.load()
            moments.append(np.asarray(moving.convert("RGB")).astype(int))
            durations.append(moving.info["duration"])
    with Image.open(folder / STILL) as still:
        assert np.abs(np.asarray(still.convert("RGB")) - moments[-1]).mean() < 4
    return moments, durations


def share(picture: np.ndarray, colour: tuple[int, int, int], within: int = 60) -> float:
    """How much of a picture is near a colour."""
    return float((np.abs(picture - np.array(colour)).max(axis=2) < within).mean())


def test_the_plane_shows_its_regions(tmp_path: Path) -> None:
    run = write_flat_run(tmp_path / "run")
    moments, durations = pictures(run, frames_of_run(run), tmp_path)
    # The disc of class 1, orange, shrinks from radius 1.8 to 0.6 within a box of side 4, as high as the picture.
    areas = [float((picture[..., 0] - picture[..., 2] > 20).mean()) for picture in moments]
    assert areas[0] == pytest.approx(np.pi * 1.8**2 / 16 * SIZE[1] / SIZE[0], rel=0.1)
    assert areas[0] / areas[-1] == pytest.approx(9, rel=0.2)
    # Step 10 is where this run clung; it stays as long as both ends.
    assert durations == [1000, 125, 1000, 1000]


def test_space_shows_the_boundary(tmp_path: Path, rendering: None) -> None:
    run = write_run(tmp_path / "run")
    moments, _ = pictures(run, frames_of_run(run), tmp_path)
    assert share(moments[0], CLASSES[0]) < 0.02
    # A boundary well outside the sphere has class 1 beneath it.
    assert share(moments[1], CLASSES[1]) > 0.15
    assert np.abs(moments[1] - moments[2]).mean() > 5


def test_without_a_picture_the_distance_is_drawn_with_a_cursor(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    moments, _ = pictures(run, [], tmp_path)
    assert all(share(picture, INK) > 0.002 for picture in moments)
    # Only the cursor moves, so most of the picture stays.
    moved = np.abs(moments[0] - moments[-1]).max(axis=2) > 40
    assert 0.0005 < moved.mean() < 0.05
