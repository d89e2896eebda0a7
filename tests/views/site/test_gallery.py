"""Pages of the gallery from scene files: opening comments, previous and next, order; Markdown is never markup."""

import re
from pathlib import Path

import pytest

from dimple.runs.atomic_io import write_bytes
from dimple.scene import shipped_scenes
from dimple.views.site.gallery import (
    GalleryScene,
    render_notes,
    sort_scenes,
    split_scene_comment,
    write_index_page,
    write_scene_page,
)
from tests.views.material import write_run

SOURCE = "# A ball.\n#\n# As in other_in_2d: `x < 1`.\n# <img src=x onerror=alert(1)>\nmanifold: {kind: sphere}\n"


def scene(folder: Path, name: str, dim: int = 3, **summary: object) -> GalleryScene:
    run = write_run(folder / "runs" / name, name=name)
    run.info["summary"] |= {"distance_fall": 15.0, **summary}
    return GalleryScene(run, SOURCE, 2, dim, f"dimple simulate {name}")


@pytest.mark.parametrize("name", shipped_scenes())
def test_the_opening_comment_of_every_shipped_scene_becomes_a_page(name: str) -> None:
    first, notes, settings = split_scene_comment(shipped_scenes()[name].read_text())
    assert first.endswith(".") and "\n" not in first
    assert "What to look for" in notes
    assert settings.startswith("name: ")
    page = render_notes(notes, set(shipped_scenes()) - {name})
    assert not re.search(r"<(h\d|pre|ol|table|blockquote)", page), "a comment is prose and bullets"
    # A paragraph that follows a list is not its last item.
    assert all(
        "\n" not in item or not re.search(r"\n\w+_in_", item) for item in re.findall("<li>(.*?)</li>", page, re.S)
    )


def test_a_scene_without_a_comment_has_only_settings() -> None:
    assert split_scene_comment("seed: 1\n# later\n") == ("", "", "seed: 1\n# later\n")


def test_a_page_describes_its_scene_and_its_text_is_never_markup(tmp_path: Path) -> None:
    ball = scene(tmp_path, "ball")
    other = scene(tmp_path, "other_in_2d")
    (tmp_path / "ball").mkdir()
    text = write_scene_page(ball, [ball, other], ["training.steps=5"], tmp_path / "ball").read_text()
    assert '<p class="first">A ball.</p>' in text
    assert "dimension 2 in R^3, seed 3" in text
    assert '<a href="../other_in_2d/index.html">other_in_2d</a>: <code>x &lt; 1</code>' in text
    assert "<img src=x" not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<code>training.steps=5</code>" in text
    assert "dimple simulate ball" in text
    assert 'rel="next" href="../other_in_2d/index.html"' in text and 'rel="prev"' not in text
    # The run has no film, so the page has its curves.
    assert "<iframe" not in text and text.count("<svg") == 2
    assert re.search(r"off-manifold fraction of the gradient</td>.*0\.900</td>.*0\.333</td>", text)


def test_the_film_page_is_embedded_where_there_is_a_film(tmp_path: Path) -> None:
    ball = scene(tmp_path, "ball")
    for name in ("film.mp4", "film.png", "page.html", "report.html"):
        write_bytes(ball.run.path / name, name.encode())
    (tmp_path / "ball").mkdir()
    text = write_scene_page(ball, [ball], [], tmp_path / "ball").read_text()
    assert '<iframe src="page.html"' in text and "frame-src 'self' file:" in text
    assert (tmp_path / "ball" / "film.mp4").read_text() == "film.mp4"
    assert "changed settings" not in text


def test_the_index_groups_by_dimension_and_then_by_verdict(tmp_path: Path) -> None:
    scenes = [
        scene(tmp_path, "far", 100, verdict="contradicted"),
        scene(tmp_path, "b", 2, verdict="contradicted"),
        scene(tmp_path, "c", 2, verdict="supported"),
        scene(tmp_path, "four", 4, verdict="contradicted"),
        scene(tmp_path, "a", 2, verdict="contradicted"),
    ]
    assert [one.name for one in sort_scenes(scenes)] == ["c", "a", "b", "far", "four"]
    text = write_index_page(sort_scenes(scenes), [], tmp_path / "index.html").read_text()
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["In the plane", "In more dimensions"]
    assert re.findall(r'class="card" href="scenes/(\w+)/', text) == ["c", "a", "b", "far", "four"]
    assert text.count("15.0-fold") == 5 and text.count(">1 - d/n 0.333<") == 5


def test_a_scene_without_a_verdict_has_a_card(tmp_path: Path) -> None:
    bare = scene(tmp_path, "bare")
    bare.run.info["summary"] = {"steps": 1, "snapshots": 1}
    text = write_index_page([bare], [], tmp_path / "index.html").read_text()
    assert "bare" in text and 'class="word' not in text.partition("At a glance")[0]
    # Its phases have no dates, which is not reported as never.
    assert ">never<" not in text


@pytest.mark.parametrize("text", ["<script>x</script>", "[x](javascript:alert(1))", "![x](javascript:x)", "a <b>b</b>"])
def test_markdown_is_never_markup(text: str) -> None:
    page = render_notes(text, set())
    assert not re.search(r"<(?!/?p>)|href|src", page)
