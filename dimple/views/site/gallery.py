"""The pages of the gallery: an index of scenes with moving thumbnails, and a page for each scene."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import dimple
from dimple.runs.atomic_io import write_bytes
from dimple.runs.run import Run
from dimple.stats.aggregate import CLOSED, FOUND, NULL, VERDICT
from dimple.views.charts.figure_charts import chart_pictures
from dimple.views.content.from_run import timeline_of
from dimple.views.content.labels import number, sorting_key
from dimple.views.content.run_header import lead_of, verdict_of
from dimple.views.film.thumbnail import MOVING, STILL
from dimple.views.report.html import write_page
from dimple.views.report.tables import cell, figure_rows
from dimple.views.site.markdown import coloured, to_html

# What a scene's folder has from its run; a run that cannot be drawn has no film.
FROM_RUN = ("page.html", "report.html", "film.mp4", "film.png")
GROUPS = {2: "In the plane", 3: "In space", 4: "In more dimensions"}
VERDICTS = ("supported", "undecided", "contradicted")


@final
@dataclasses.dataclass(frozen=True)
class ShownScene:
    """A scene of the gallery.

    Attributes:
        run: the finished run of the scene.
        source: the scene file, word for word.
        dim, ambient_dim: of its manifold and of the space.
        command: what simulates it.
    """

    run: Run
    source: str
    dim: int
    ambient_dim: int
    command: str

    @property
    def name(self) -> str:
        """The scene's name, also that of its folder."""
        return str(self.run.info["name"])

    @property
    def summary(self) -> dict[str, Any]:
        """The dates of the phases and the verdicts."""
        return dict(self.run.info["summary"])

    @property
    def final(self) -> dict[str, float]:
        """The figures at the last step."""
        return {name: float(values[-1]) for name, values in self.run.metrics().items()}

    @property
    def place(self) -> str:
        """Where its manifold lies."""
        return f"dimension {self.dim} in R^{self.ambient_dim}"


def opening(source: str) -> tuple[str, str, str]:
    r"""A scene file in three parts: its first sentence, the rest of the opening comment, and the settings.

    Example:
        >>> opening("# A line.\n#\n# Look for:\n#   - walls\n# in it.\nseed: 0\n")
        ('A line.', 'Look for:\n  - walls\n\nin it.', 'seed: 0\n')
    """
    comment = re.match(r"(#.*\n)*", source)
    assert comment is not None
    lines = [line.removeprefix("#").removeprefix(" ") for line in comment[0].splitlines()]
    first, _, rest = "\n".join(lines).partition("\n")
    # Without a blank line Markdown would take what follows a list for its last item.
    return first, re.sub(r"(?m)^( +.*\n)(?=\S)", r"\1\n", rest.strip("\n")), source[comment.end() :]


def write_scene(scene: ShownScene, beside: Sequence[ShownScene], changes: Sequence[str], folder: Path) -> Path:
    """Write a scene's page as `index.html` of its folder, where film page and thumbnails are.

    Args:
        beside: all scenes of the gallery in its order, this one among them.
        changes: settings that were changed for this gallery, as `key.path=value`.
    """
    for name in FROM_RUN:
        if (scene.run.path / name).is_file():
            write_bytes(folder / name, (scene.run.path / name).read_bytes())
    names = [other.name for other in beside]
    at = names.index(scene.name)
    first, notes, settings = opening(scene.source)
    summary, run = scene.summary, scene.run
    verdicts = {name: value for name, value in summary.items() if name.endswith(VERDICT)}
    timeline = timeline_of(run)
    drawn = (run.path / "film.mp4").is_file()
    values = {
        "title": scene.name,
        "root": "../../",
        "version": dimple.__version__,
        "first": first,
        "lead": f"{scene.place}, {lead_of(run, summary)}",
        "notes": to_html(linked(notes, set(names) - {scene.name})),
        "changes": changes,
        "drawn": drawn,
        "charts": [] if drawn else chart_pictures(timeline.charts, timeline),
        "verdict": verdict_of(summary),
        "rows": figure_rows(scene.final | verdicts, run.units()),
        "settings": coloured(settings, "yaml"),
        "command": scene.command,
        "before": names[at - 1] if at else "",
        "after": names[at + 1] if at + 1 < len(names) else "",
        "moving": MOVING,
        "still": STILL,
    }
    return write_page(folder / "index.html", "scene.html", values)


def linked(text: str, names: Collection[str]) -> str:
    """Markdown in which the names of other scenes lead to their pages; what is code stays as it is.

    Example:
        >>> linked("as a_in_2d, not `a_in_2d`, not a_in_2d_x", {"a_in_2d"})
        'as [a_in_2d](../a_in_2d/index.html), not `a_in_2d`, not a_in_2d_x'
    """

    def link(found: re.Match[str]) -> str:
        return f"[{found[0]}](../{found[0]}/index.html)" if found[0] in names else found[0]

    return re.sub(r"`[^`]*`|[\w-]+", link, text)


def ordered(scenes: Collection[ShownScene]) -> list[ShownScene]:
    """By the dimension of space as the index groups it, then as the verdict falls, then by name."""

    def rank(scene: ShownScene) -> tuple[int, int, str]:
        verdict = scene.summary.get("verdict")
        return _group(scene), VERDICTS.index(verdict) if verdict in VERDICTS else len(VERDICTS), scene.name

    return sorted(scenes, key=rank)


def write_index(
    scenes: Sequence[ShownScene], tutorials: Sequence[tuple[str, str]], changes: Sequence[str], path: Path
) -> Path:
    """Write the front of the site.

    Args:
        scenes: in the order of `ordered`.
        tutorials: the address and title of each.
    """
    cards = [(_group(scene), _card(scene)) for scene in scenes]
    groups = [{"title": title, "cards": [card for at, card in cards if at == key]} for key, title in GROUPS.items()]
    values = {
        "title": "dimple",
        "root": "",
        "version": dimple.__version__,
        "tutorials": tutorials,
        "changes": changes,
        "groups": [group for group in groups if group["cards"]],
        "moving": MOVING,
        "still": STILL,
    }
    return write_page(path, "gallery.html", values)


def _group(scene: ShownScene) -> int:
    return min(scene.ambient_dim, max(GROUPS))


def _card(scene: ShownScene) -> dict[str, Any]:
    summary = scene.summary
    # The rest stands on the scene's own page; here a null and its band are enough.
    final = {name: value for name, value in scene.final.items() if not name.endswith((CLOSED, FOUND + NULL))}
    # A distance that began beyond the search's limit was counted with the limit.
    least = "≥ " if scene.run.metrics().get("boundary_found", [1.0])[0] < 1 else ""
    fall = summary.get("distance_fall")
    return {
        "name": scene.name,
        "first": opening(scene.source)[0],
        "place": scene.place,
        "verdict": summary.get("verdict", ""),
        "steps": [_step(summary, key) for key in ("cling_step", "dimple_step")],
        "fall": {"value": "" if fall is None else f"{least}{number(fall)}-fold", "key": sorting_key(fall)},
        "figures": [_figure(final, column) for column in ("off_share", "on_ratio")],
    }


def _figure(final: Mapping[str, float], column: str) -> dict[str, str]:
    """A figure beside its null, empty where it was not measured."""
    if column not in final:
        return dict.fromkeys(("value", "key", "found", "null", "null_key"), "")
    return {**cell(final, column), "null_key": sorting_key(final.get(column + NULL))}


def _step(summary: Mapping[str, Any], key: str) -> dict[str, str]:
    """When a phase was complete; empty where it was not dated."""
    step = summary.get(key)
    never = "never" if key in summary else ""
    return {"value": never if step is None else f"{step:,}", "key": sorting_key(step)}
