"""Thumbnails have one picture for each snapshot, show the scene, and the still is the last picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dimple.runs import RunFolder
from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_from_run
from dimple.views.film.thumbnail import MOVING_FILE, STILL_FILE, THUMBNAIL_SIZE, write_thumbnails
from dimple.views.style.colors import CLASS_COLORS, FOREGROUND_COLOR
from tests.views.material import STEPS, write_flat_run, write_run


def read_thumbnails(run: RunFolder, frames: list[Frame], folder: Path) -> tuple[list[np.ndarray], list[int]]:
    """Write both thumbnails; return the pictures of the animated one and their durations in milliseconds."""
    write_thumbnails(run, frames, folder)
    pictures = []
    durations = []
    with Image.open(folder / MOVING_FILE) as moving:
        assert (moving.size, moving.n_frames, moving.info["loop"]) == (THUMBNAIL_SIZE, len(STEPS), 0)
        for index in range(moving.n_frames):
            moving.seek(index)
            moving.load()
            pictures.append(np.asarray(moving.convert("RGB")).astype(int))
            durations.append(moving.info["duration"])
    with Image.open(folder / STILL_FILE) as still:
        assert np.abs(np.asarray(still.convert("RGB")) - pictures[-1]).mean() < 4
    return pictures, durations


def color_fraction(picture: np.ndarray, color: tuple[int, int, int], tolerance: int = 60) -> float:
    """Return the fraction of a picture that is close to a color."""
    return float((np.abs(picture - np.array(color)).max(axis=2) < tolerance).mean())


def test_the_plane_shows_its_regions(tmp_path: Path) -> None:
    run = write_flat_run(tmp_path / "run")
    pictures, durations = read_thumbnails(run, frames_from_run(run), tmp_path)
    # The disc of class 1, orange, shrinks from radius 1.8 to 0.6 in a box of side 4, which is as high as the picture.
    areas = [float((picture[..., 0] - picture[..., 2] > 20).mean()) for picture in pictures]
    assert areas[0] == pytest.approx(np.pi * 1.8**2 / 16 * THUMBNAIL_SIZE[1] / THUMBNAIL_SIZE[0], rel=0.1)
    assert areas[0] / areas[-1] == pytest.approx(9, rel=0.2)
    # At step 10 the first phase is complete; this snapshot is shown as long as the first and the last one.
    assert durations == [1000, 125, 1000, 1000]


def test_space_shows_the_boundary(tmp_path: Path, rendering: None) -> None:
    run = write_run(tmp_path / "run")
    pictures, _ = read_thumbnails(run, frames_from_run(run), tmp_path)
    assert color_fraction(pictures[0], CLASS_COLORS[0]) < 0.02
    # A boundary far outside the manifold puts the manifold into class 1.
    assert color_fraction(pictures[1], CLASS_COLORS[1]) > 0.15
    assert np.abs(pictures[1] - pictures[2]).mean() > 5


def test_without_frames_the_distance_is_drawn_with_a_cursor(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    pictures, _ = read_thumbnails(run, [], tmp_path)
    assert all(color_fraction(picture, FOREGROUND_COLOR) > 0.002 for picture in pictures)
    # Only the cursor moves, so most of the picture does not change.
    is_different = np.abs(pictures[0] - pictures[-1]).max(axis=2) > 40
    assert 0.0005 < is_different.mean() < 0.05
