"""Films, read back by a decoder, have the right format and number of pictures, and appear only when complete."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageDraw

from dimple.errors import RunError
from dimple.settings import SettingError
from dimple.views.charts.matplotlib_svg import LINE_COLORS
from dimple.views.content.frame import Frame
from dimple.views.film import caption
from dimple.views.film.caption import LayoutCanvas, write_legend
from dimple.views.film.film import encode, key_frames, repeat_count, write_film, write_gif
from dimple.views.film.layout import FRAME_SIZE, FrameRenderer
from dimple.views.film.settings import Film
from tests.views.films import decoded
from tests.views.material import plane_frames, space_frames

FAST = Film(fps=5, hold=0.4, gif=True)
METADATA = {"Title": "wall", "Seed": "3", "Settings": "name: wall\nmanifold: {kind: flat}\n", "Software": "dimple 0"}


@pytest.fixture(scope="module", params=["plane", "space"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Frame], Path]:
    if request.param == "space":
        request.getfixturevalue("rendering")
    frames = plane_frames() if request.param == "plane" else space_frames()
    folder = tmp_path_factory.mktemp(request.param)
    calls = []
    assert write_film(frames, folder / "film.mp4", FAST, lambda: calls.append(1), METADATA) == folder / "film.mp4"
    assert len(calls) == len(frames)
    return frames, folder


def test_the_film_is_h264_for_all_players(made: tuple[list[Frame], Path]) -> None:
    stream, pictures = decoded(made[1] / "film.mp4")
    for property_ in ("h264", "yuv420p", "1280x720", " 5 fps"):
        assert property_ in stream
    # The first snapshot, the last one and the one with a phase are shown for two pictures, the other one for one.
    assert len(pictures) == 2 + 1 + 2 + 2


def test_the_film_contains_the_stills(made: tuple[list[Frame], Path]) -> None:
    _, pictures = decoded(made[1] / "film.mp4")
    stills = sorted((made[1] / "stills").iterdir())
    assert [still.name for still in stills] == [f"step_{step:08d}.png" for step in (0, 1, 10, 100)]
    for still, index in zip(stills, (0, 2, 3, 6), strict=True):
        difference = np.abs(np.asarray(Image.open(still), dtype=int) - pictures[index])
        assert difference.mean() < 3
    assert np.abs(pictures[0].astype(int) - pictures[-1]).mean() > 0.5


def test_the_gif_has_each_snapshot_once_with_its_duration(made: tuple[list[Frame], Path]) -> None:
    with Image.open(made[1] / "film.gif") as gif:
        assert (gif.n_frames, gif.size) == (4, (640, 360))
        durations = []
        for index in range(gif.n_frames):
            gif.seek(index)
            durations.append(gif.info["duration"])
    assert durations == [400, 200, 400, 400]


def test_each_file_contains_the_metadata(made: tuple[list[Frame], Path]) -> None:
    for path in (made[1] / "film.png", made[1] / "stills" / "step_00000100.png"):
        with Image.open(path) as picture:
            assert picture.text == METADATA
    with Image.open(made[1] / "film.gif") as gif:
        comment = gif.info["comment"].decode()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(made[1] / "film.mp4"), "-f", "ffmetadata", "-"]
    film_metadata = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert "title=wall" in film_metadata
    for line in ("Seed: 3", "Settings: name: wall", "manifold: {kind: flat}", "Software: dimple 0"):
        assert line in comment.splitlines() and line in film_metadata


def test_only_the_film_its_stills_and_its_sheet_remain(made: tuple[list[Frame], Path]) -> None:
    assert sorted(file.name for file in made[1].iterdir()) == ["film.gif", "film.mp4", "film.png", "stills"]
    with Image.open(made[1] / "film.png") as sheet:
        assert sheet.size == (2 * 960, 2 * 540)


def test_a_film_that_fails_does_not_change_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")

    def interrupted_images() -> Iterator[tuple[Image.Image, int]]:
        yield Image.new("RGB", FRAME_SIZE), 3
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(interrupted_images(), path, Film())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_film_needs_a_snapshot_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="needs at least one snapshot"):
        write_film([], tmp_path / "film.mp4")
    with pytest.raises(RunError, match="cannot be written"):
        write_film(plane_frames()[:1], tmp_path / "absent" / "film.mp4")


@pytest.mark.parametrize("size", [(640, 360), (800, 800), (1920, 1080)])
def test_a_frame_looks_the_same_at_any_size(size: tuple[int, int]) -> None:
    frame = plane_frames()[-1]
    with FrameRenderer(frame) as default_renderer, FrameRenderer(frame, size) as renderer:
        expected = default_renderer.draw(frame)
        picture = renderer.draw(frame)
    assert picture.size == size
    scale = min(size[0] / FRAME_SIZE[0], size[1] / FRAME_SIZE[1])
    width = round(FRAME_SIZE[0] * scale)
    height = round(FRAME_SIZE[1] * scale)
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    cropped = picture.crop((left, top, left + width, top + height))
    difference = np.asarray(cropped.resize((160, 90), Image.Resampling.BOX), dtype=int) - np.asarray(
        expected.resize((160, 90), Image.Resampling.BOX)
    )
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("frames", [plane_frames, space_frames])
def test_markers_and_names_of_the_legend_do_not_overlap(
    frames: Callable[[], list[Frame]], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans: dict[float, list[tuple[float, float]]] = {}

    def record_text(canvas: LayoutCanvas, place: tuple[float, float], text: str, *style: object) -> None:
        spans.setdefault(place[1], []).append((place[0], place[0] + canvas.text_width(text, 13)))

    def record_marker(canvas: LayoutCanvas, label: int, x: float, y: float, **style: object) -> None:
        spans.setdefault(y - 8, []).append((x - 8, x + 8))

    monkeypatch.setattr(LayoutCanvas, "text", record_text)
    monkeypatch.setattr(LayoutCanvas, "marker", record_marker)
    monkeypatch.setattr(caption, "_write_boundary_colors", lambda *arguments: None)
    canvas = LayoutCanvas(Image.new("RGB", FRAME_SIZE), 1.0)
    write_legend(canvas, frames()[-1], (26, 514), 790)
    assert sum(map(len, spans.values())) >= 4
    for row in spans.values():
        for (_, end), (start, _) in itertools.pairwise(sorted(row)):
            assert start > end


def test_a_scene_of_the_plane_uses_all_of_the_picture() -> None:
    frame = plane_frames()[-1]
    with FrameRenderer(frame) as renderer:
        picture = np.asarray(renderer.draw(frame), dtype=int)
    # The charts are at the lower right, the scene at the lower left.
    for part in (picture[450:700, 820:], picture[450:660, 40:760]):
        assert part.std() > 5


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 40])
def test_key_frames_include_ends_and_phases(count: int) -> None:
    frames = (plane_frames() * 10)[:count]
    frames = [Frame(f.title, k, k, f.drawing, (), f.timeline) for k, f in enumerate(frames)]
    indices = key_frames(frames)
    assert len(indices) == len(set(indices)) == min(6, count)
    assert {0, count - 1} <= set(indices)
    if count > 10:
        assert 10 in indices
    assert sum(repeat_count(frames, k, Film(fps=10, hold=1.0)) > 1 for k in range(count)) == len(
        {0, count - 1} | ({10} if count > 10 else set())
    )


@pytest.mark.parametrize(
    ("field", "value"), [("fps", 0), ("hold", -1.0), ("quality", 52), ("quality", 20.5), ("gif", 1)]
)
def test_invalid_settings_are_errors(field: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"Film.{field} is {value}"):
        Film(**{field: value})


def test_a_thin_curve_keeps_its_color_in_a_gif(tmp_path: Path) -> None:
    picture = Image.effect_noise((320, 180), 90).convert("RGB")
    for color, y in zip(LINE_COLORS, range(10, 180, 25), strict=False):
        ImageDraw.Draw(picture).line((10, y, 300, y), fill=color)
    # A scene with many colors, of which a palette has most.
    scene = Image.merge("RGB", [Image.effect_noise((320, 180), 90) for _ in range(3)])
    write_gif([picture, scene], [1, 1], 5, tmp_path / "curves.gif")
    with Image.open(tmp_path / "curves.gif") as gif:
        shown = np.asarray(gif.convert("RGB")).astype(int)
    for color, y in zip(LINE_COLORS, range(10, 180, 25), strict=False):
        assert np.abs(shown[y, 10:300] - color).max() <= 12, color
