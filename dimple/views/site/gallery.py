"""Pages of the gallery: an index of scenes with moving thumbnails, and a page for each scene."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import dimple
from dimple.runs.atomic_io import write_bytes
from dimple.runs.run import RunFolder
from dimple.stats.aggregate import ANALYTIC_SUFFIX, FOUND_SUFFIX, NULL_SUFFIX, comparison_column
from dimple.views.charts.charts_by_unit import render_charts
from dimple.views.content.from_run import build_timeline
from dimple.views.content.labels import format_number, sorting_key
from dimple.views.content.run_header import describe_conditions, describe_verdict, run_subtitle
from dimple.views.film.thumbnail import MOVING_FILE, STILL_FILE
from dimple.views.report.html import write_page
from dimple.views.report.tables import statistic_cell, statistic_rows

# The files of a run that its page uses; a run that cannot be drawn has no film.
RUN_FILES = ("page.html", "report.html", "film.mp4", "film.png")
GROUP_TITLES = {2: "In the plane", 3: "In space", 4: "In more dimensions", 5: "Images"}
VERDICT_ORDER = ("supported", "undecided", "contradicted")


@final
@dataclasses.dataclass(frozen=True)
class GalleryScene:
    """A scene of the gallery.

    Attributes:
        run: the finished run of the scene.
        scene_text: the text of the scene file.
        dim: the dimension of the manifold; None for images.
        ambient_dim: the dimension of the space.
        command: the command that simulates the scene.
    """

    run: RunFolder
    scene_text: str
    dim: int | None
    ambient_dim: int
    command: str

    @property
    def name(self) -> str:
        """Name of the scene and of its folder."""
        return str(self.run.info["name"])

    @property
    def summary(self) -> dict[str, Any]:
        """Dates of the phases and verdicts."""
        return dict(self.run.info["summary"])

    @property
    def final_statistics(self) -> dict[str, float]:
        """Quantities at the last step."""
        return {name: float(values[-1]) for name, values in self.run.columns("metrics").items()}

    @property
    def dimension_text(self) -> str:
        """Dimensions of the manifold and of the space, in words."""
        if self.dim is None:
            return f"images in R^{self.ambient_dim}"
        return f"dimension {self.dim} in R^{self.ambient_dim}"


def split_scene_comment(scene_text: str) -> tuple[str, str, str]:
    r"""Return a scene file in three parts: its first sentence, the rest of the opening comment, and the settings.

    Example:
        >>> split_scene_comment("# A line.\n#\n# Look for:\n#   - walls\n# in it.\nseed: 0\n")
        ('A line.', 'Look for:\n  - walls\n\nin it.', 'seed: 0\n')
    """
    comment = re.match(r"(#.*\n)*", scene_text)
    assert comment is not None
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment[0].splitlines()]
    first, _, rest = "\n".join(lines).partition("\n")
    # Without a blank line Markdown would join the text after a list to its last item.
    return first, re.sub(r"(?m)^( +.*\n)(?=\S)", r"\1\n", rest.strip("\n")), scene_text[comment.end() :]


def write_scene_page(scene: GalleryScene, scenes: Sequence[GalleryScene], changes: Sequence[str], folder: Path) -> Path:
    """Write the page of a scene as `index.html` of its folder, which holds the interactive page and the thumbnails.

    Args:
        scene: the scene.
        scenes: all scenes of the gallery in order, this one among them.
        changes: settings that were changed for this gallery, as `key.path=value`.
        folder: the folder of the scene in the site.
    """
    for name in RUN_FILES:
        source = (scene.run.path if name == "report.html" else scene.run.views_path) / name
        if source.is_file():
            write_bytes(folder / name, scene.run.read_bytes(source))
    names = [other.name for other in scenes]
    at = names.index(scene.name)
    first, notes, settings = split_scene_comment(scene.scene_text)
    summary = scene.summary
    run = scene.run
    timeline = build_timeline(run)
    drawn = (run.views_path / "film.mp4").is_file()
    values = {
        "title": scene.name,
        "root": "../../",
        "version": dimple.__version__,
        "first": first,
        "lead": f"{scene.dimension_text}, {run_subtitle(run, summary)}",
        "notes": render_notes(notes, set(names) - {scene.name}),
        "changes": changes,
        "drawn": drawn,
        "charts": [] if drawn else render_charts(timeline.charts, timeline),
        "verdict": describe_verdict(summary),
        "conditions": describe_conditions(summary),
        "rows": statistic_rows(scene.final_statistics, run.units("metrics")),
        "settings": settings,
        "command": scene.command,
        "before": names[at - 1] if at else "",
        "after": names[at + 1] if at + 1 < len(names) else "",
        "moving": MOVING_FILE,
        "still": STILL_FILE,
    }
    return write_page(folder / "index.html", "scene.html", values)


def render_notes(text: str, names: Collection[str]) -> str:
    r"""Convert the opening comment of a scene, which is Markdown, to HTML; HTML in the text stays text.

    Args:
        text: the comment.
        names: other scenes, whose names become links.

    Example:
        >>> render_notes("as in `x`, <b>a_in_2d", {"a_in_2d"})
        '<p>as in <code>x</code>, &lt;b&gt;<a href="../a_in_2d/index.html">a_in_2d</a></p>\n'
    """
    # Imported here because only this command needs it.
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).render(link_scene_names(text, names)))


def link_scene_names(text: str, names: Collection[str], address: str = "../{}/index.html") -> str:
    """Return Markdown with links from the names of other scenes to their pages; code stays unchanged.

    Args:
        text: the Markdown.
        names: the other scenes.
        address: the address of a page, with braces in the place of the name.

    Example:
        >>> link_scene_names("as a_in_2d, not `a_in_2d`, not a_in_2d_x", {"a_in_2d"})
        'as [a_in_2d](../a_in_2d/index.html), not `a_in_2d`, not a_in_2d_x'
    """

    def link(found: re.Match[str]) -> str:
        return f"[{found[0]}]({address.format(found[0])})" if found[0] in names else found[0]

    return re.sub(r"`[^`]*`|[\w-]+", link, text)


def sort_scenes(scenes: Collection[GalleryScene]) -> list[GalleryScene]:
    """Return the scenes sorted by the dimension of the space, then by verdict, then by name."""

    def rank(scene: GalleryScene) -> tuple[int, int, str]:
        verdict = scene.summary.get("verdict")
        return (
            _group_key(scene),
            VERDICT_ORDER.index(verdict) if verdict in VERDICT_ORDER else len(VERDICT_ORDER),
            scene.name,
        )

    return sorted(scenes, key=rank)


def write_index_page(
    scenes: Sequence[GalleryScene], changes: Sequence[str], path: Path, questions: Sequence[Mapping[str, str]] = ()
) -> Path:
    """Write the index of the site.

    Args:
        scenes: the scenes in the order of `sort_scenes`.
        changes: settings that were changed for this gallery.
        path: the file.
        questions: the `scene`, `text` and `answer` of each question of a lesson.
    """
    cards = [(_group_key(scene), _scene_entry(scene)) for scene in scenes]
    groups = [
        {"title": title, "cards": [card for at, card in cards if at == key]} for key, title in GROUP_TITLES.items()
    ]
    values = {
        "title": "dimple",
        "root": "",
        "version": dimple.__version__,
        "changes": changes,
        "groups": [group for group in groups if group["cards"]],
        "questions": questions,
        "moving": MOVING_FILE,
        "still": STILL_FILE,
    }
    return write_page(path, "gallery.html", values)


def _group_key(scene: GalleryScene) -> int:
    return choose_group(scene.dim, scene.ambient_dim)


def choose_group(dim: int | None, ambient_dim: int) -> int:
    """Return the key of the group of a scene: of its space, or that of images, which have no manifold."""
    return max(GROUP_TITLES) if dim is None else min(ambient_dim, max(GROUP_TITLES) - 1)


def _scene_entry(scene: GalleryScene) -> dict[str, Any]:
    summary = scene.summary
    # The page of the scene has all of them; here a null and its band are enough.
    final = {
        name: value
        for name, value in scene.final_statistics.items()
        if not name.endswith((ANALYTIC_SUFFIX, FOUND_SUFFIX + NULL_SUFFIX))
    }
    # A distance beyond the limit of the search was counted as the limit, so the fall is a lower bound.
    least = "≥ " if scene.run.columns("metrics").get("boundary_distance_found", [1.0])[0] < 1 else ""
    fall = summary.get("distance_fall")
    return {
        "name": scene.name,
        "first": split_scene_comment(scene.scene_text)[0],
        "place": scene.dimension_text,
        "verdict": summary.get("verdict", ""),
        "steps": [_phase_entry(summary, key) for key in ("cling_step", "dimple_step")],
        "fall": {"value": "" if fall is None else f"{least}{format_number(fall)}-fold", "key": sorting_key(fall)},
        "cells": [_statistic_entry(final, column) for column in ("gradient_off_manifold_fraction", "margin_on_ratio")],
    }


def _statistic_entry(statistics: Mapping[str, float], column: str) -> dict[str, str]:
    """Return a quantity with its null; empty where it was not measured."""
    if column not in statistics:
        return dict.fromkeys(("value", "key", "found", "interval", "null", "null_key"), "")
    return {**statistic_cell(statistics, column), "null_key": sorting_key(statistics.get(comparison_column(column)))}


def _phase_entry(summary: Mapping[str, Any], key: str) -> dict[str, str]:
    """Return the step at which a phase was complete; empty where it was not dated."""
    step = summary.get(key)
    never = "never" if key in summary else ""
    return {"value": never if step is None else f"{step:,}", "key": sorting_key(step)}
