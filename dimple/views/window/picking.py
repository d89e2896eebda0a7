"""A training point that somebody points at: which one it is, and what there is to say of it."""

import dataclasses
from typing import Any, final

import numpy as np
from PIL import Image

from dimple.views.content.frame import Fact, Perturbations, Reals
from dimple.views.content.labels import number
from dimple.views.content.point_facts import LENGTHS, compared_facts, figures_of, margin_fact, share_fact
from dimple.views.drawing.info_panels import Heading, Row, facts_card
from dimple.views.style.colors import ALONG, INK, OFF
from dimple.views.vtk.glyphs import MARKER, pixel_size
from dimple.views.window.animation import Reel

# How near to a point one has to click, in pixels.
REACH = 12.0


@final
@dataclasses.dataclass(frozen=True)
class Picked:
    """A training point in one snapshot.

    Attributes:
        index: its row among the training points.
        label, prediction: its class, and the one that the network gives it; the same where that is not known.
        place: `(3,)`, in the space that is drawn.
        whole, on, off: the step to the boundary and its parts along and off the manifold, `(3,)`; nan where no boundary
            was found, or there is nobody to ask.
        figures: its columns of points.parquet; none where the table lacks it.
        name: of the point, where it has one.
    """

    index: int
    label: int
    prediction: int
    place: Reals
    whole: Reals
    on: Reals
    off: Reals
    figures: dict[str, float]
    name: str = ""


def picked_of(reel: Reel, snapshot: int, index: int) -> Picked:
    """What is known of a training point in a snapshot; the way to the boundary is searched for now."""
    frame = reel.frames[snapshot]
    points, asked = frame.drawing.points, reel.show.asked
    unknown = np.full((1, 3), np.nan)
    steps = Perturbations(unknown, unknown, unknown) if asked is None else asked.nearest(frame.step, (index,))
    # Steps of the plane lie on its floor.
    whole, on, off = (np.append(way[0], 0.0)[:3] for way in (steps.whole, steps.on, steps.off))
    label = int(points.classes[index])
    prediction = label if points.predictions is None else int(points.predictions[index])
    figures = figures_of(reel.show.points, frame.step, index)
    name = points.names[index].replace("\n", ", ") if points.names else ""
    return Picked(index, label, prediction, points.positions[index], whole, on, off, figures, name)


def picked_card(picked: Picked, scale: int = 1) -> Image.Image:
    """The point's classes, how far the boundary is and which way, each figure beside its null."""
    verdict = "right" if picked.prediction == picked.label else f"predicted {picked.prediction}, wrong"
    heading = Heading(f"training point {picked.index}", f"class {picked.label}, {verdict}\n{LENGTHS}")
    if picked.name:
        heading = Heading(picked.name)
    lengths = [float(np.linalg.norm(way)) for way in (picked.whole, picked.on, picked.off)]
    shown, figures = not np.isnan(lengths).any(), picked.figures
    rows: list[Row] = []
    if "margin" in figures:
        rows.append((margin_fact(figures), INK if shown else None))
    elif shown:
        rows.append((Fact("step to the boundary", number(lengths[0])), INK))
    if shown:
        rows.append((Fact("its part along the manifold", number(lengths[1])), ALONG))
        rows.append((Fact("its part off the manifold", number(lengths[2])), OFF))
    if shown and lengths[0] > 0:
        rows.append((share_fact(figures, (lengths[1] / lengths[0]) ** 2), None))
    rows += [(fact, None) for fact in compared_facts(figures)]
    return facts_card(heading, rows, scale)


def point_under(window: Any, renderer: Any, places: Reals, at: tuple[float, float], scale: int = 1) -> int | None:
    """The point of `places` `(N, 3)` that is seen within some pixels of a place of the window; None if there is none.

    Points that a surface hides are not seen; of several the one nearest to the camera is meant.
    """
    camera = renderer.GetActiveCamera()
    left, bottom = renderer.GetOrigin()
    width, height = renderer.GetSize()
    matrix = camera.GetCompositeProjectionTransformMatrix(renderer.GetTiledAspectRatio(), 0.0, 1.0)
    transform = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    ends = np.insert(places, 3, 1.0, axis=1) @ transform.T
    seen = ends[:, :3] / ends[:, 3:]
    pixels = (seen[:, :2] + 1) / 2 * (width, height) + (left, bottom)
    near = np.flatnonzero(np.linalg.norm(pixels - at, axis=1) <= REACH * scale)
    away = (places - camera.GetPosition()) @ np.array(camera.GetDirectionOfProjection())
    clipping = camera.GetClippingRange()
    # A marker hides its own centre.
    slack = 2 * MARKER * scale * pixel_size(renderer)
    for index in near[np.argsort(away[near])]:
        column, row = (int(value) for value in pixels[index])
        if not (left <= column < left + width and bottom <= row < bottom + height):
            continue
        depth = float(window.GetZbufferDataAtPoint(column, row))
        first, last = clipping
        surface = first * last / (last - depth * (last - first))
        if away[index] <= surface + slack:
            return int(index)
    return None
