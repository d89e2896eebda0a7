"""Films read back by a decoder: as many pictures as were asked for, of the right kind, whole or not at all."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from dimple.errors import RunError
from dimple.settings import SettingError
from dimple.views.content.frame import Frame
from dimple.views.film.film import encode, key_frames, repeats, write_film
from dimple.views.film.layout import SIZE, Stage
from dimple.views.film.settings import Film
from tests.views.films import decoded
from tests.views.material import plane_frames, space_frames

FAST = Film(fps=5, hold=0.4, gif=True)
IMPRINT = {"Title": "wall", "Seed": "3", "Settings": "name: wall\nmanifold: {kind: flat}\n", "Software": "dimple 0"}


@pytest.fixture(scope="module", params=["plane", "space"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Frame], Path]:
    if request.param == "space":
        request.getfixturevalue("rendering")
    frames = plane_frames() if request.param == "plane" else space_frames()
    folder = tmp_path_factory.mktemp(request.param)
    advanced = []
    assert write_film(frames, folder / "film.mp4", FAST, lambda: advanced.append(1), IMPRINT) == folder / "film.mp4"
    assert len(advanced) == len(frames)
    return frames, folder


def test_the_film_is_h264_that_every_player_knows(made: tuple[list[Frame], Path]) -> None:
    stream, pictures = decoded(made[1] / "film.mp4")
    for property_ in ("h264", "yuv420p", "1280x720", " 5 fps"):
        assert property_ in stream
    # The first, both phases and the last stay for two pictures, the one between for one.
    assert len(pictures) == 2 + 1 + 2 + 2


def test_the_film_shows_the_stills(made: tuple[list[Frame], Path]) -> None:
    _, pictures = decoded(made[1] / "film.mp4")
    stills = sorted((made[1] / "stills").iterdir())
    assert [still.name for still in stills] == [f"step_{step:08d}.png" for step in (0, 1, 10, 100)]
    for still, place in zip(stills, (0, 2, 3, 6), strict=True):
        difference = np.abs(np.asarray(Image.open(still), dtype=int) - pictures[place])
        assert difference.mean() < 3
    assert np.abs(pictures[0].astype(int) - pictures[-1]).mean() > 0.5


def test_the_gif_has_every_snapshot_once_with_its_time(made: tuple[list[Frame], Path]) -> None:
    with Image.open(made[1] / "film.gif") as gif:
        assert (gif.n_frames, gif.size) == (4, (640, 360))
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
    assert durations == [400, 200, 400, 400]


def test_every_file_says_what_it_shows(made: tuple[list[Frame], Path]) -> None:
    for picture in (made[1] / "film.png", made[1] / "stills" / "step_00000100.png"):
        with Image.open(picture) as opened:
            assert opened.text == IMPRINT
    with Image.open(made[1] / "film.gif") as gif:
        comment = gif.info["comment"].decode()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(made[1] / "film.mp4"), "-f", "ffmetadata", "-"]
    told = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert "title=wall" in told
    for line in ("Seed: 3", "Settings: name: wall", "manifold: {kind: flat}", "Software: dimple 0"):
        assert line in comment.splitlines() and line in told


def test_nothing_but_the_film_its_stills_and_its_sheet_is_left(made: tuple[list[Frame], Path]) -> None:
    assert sorted(file.name for file in made[1].iterdir()) == ["film.gif", "film.mp4", "film.png", "stills"]
    with Image.open(made[1] / "film.png") as sheet:
        assert sheet.size == (2 * 960, 2 * 540)


def test_a_film_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")

    def pictures() -> Iterator[tuple[Image.Image, int]]:
        yield Image.new("RGB", SIZE), 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(pictures(), path, Film())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_needs_a_snapshot_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="needs at least one snapshot"):
        write_film([], tmp_path / "film.mp4")
    with pytest.raises(RunError, match="cannot be written"):
        write_film(plane_frames()[:1], tmp_path / "absent" / "film.mp4")


@pytest.mark.parametrize("size", [(640, 360), (800, 800), (1920, 1080)])
def test_a_stage_of_any_size_shows_the_same(size: tuple[int, int]) -> None:
    frame = plane_frames()[-1]
    with Stage(frame) as usual, Stage(frame, size) as other:
        expected, picture = usual.draw(frame), other.draw(frame)
    assert picture.size == size
    scale = min(size[0] / SIZE[0], size[1] / SIZE[1])
    width, height = round(SIZE[0] * scale), round(SIZE[1] * scale)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    found = picture.crop((left, top, left + width, top + height)).resize((160, 90), Image.Resampling.BOX)
    wanted = expected.resize((160, 90), Image.Resampling.BOX)
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(wanted)).mean() < 4


def test_the_plane_uses_the_whole_picture() -> None:
    frame = plane_frames()[-1]
    with Stage(frame) as stage:
        picture = np.asarray(stage.draw(frame), dtype=int)
    # Lower right stand the curves, lower left the scene.
    for part in (picture[450:700, 820:], picture[450:660, 40:760]):
        assert part.std() > 5


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 40])
def test_key_frames_hold_ends_and_phases(count: int) -> None:
    frames = (plane_frames() * 10)[:count]
    frames = [Frame(f.title, k, k, f.drawing, (), f.timeline) for k, f in enumerate(frames)]
    chosen = key_frames(frames)
    assert len(chosen) == len(set(chosen)) == min(6, count)
    assert {0, count - 1} <= set(chosen)
    if count > 10:
        assert 10 in chosen
    assert sum(repeats(frames, k, Film(fps=10, hold=1.0)) > 1 for k in range(count)) == len(
        {0, count - 1} | ({10} if count > 10 else set())
    )


@pytest.mark.parametrize(
    ("field", "value"), [("fps", 0), ("hold", -1.0), ("quality", 52), ("quality", 20.5), ("gif", 1)]
)
def test_settings_that_make_no_film_are_refused(field: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"Film.{field} is {value}"):
        Film(**{field: value})
