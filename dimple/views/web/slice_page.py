"""What the page of a section knows, as plain values for JSON and as bytes: regions, lines or walls, images, control."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.runs.run import Run
from dimple.stats.aggregate import NULL
from dimple.views.content.camera import look
from dimple.views.content.frame import Classes, Drawing, Frame, Reals, classes_met, control_of
from dimple.views.content.from_slice import shown_rows
from dimple.views.content.labels import number
from dimple.views.content.viewport import Fit
from dimple.views.drawing.class_regions import name_places
from dimple.views.drawing.insets import Rectangle
from dimple.views.film.canvas import Canvas
from dimple.views.report.html import png
from dimple.views.vtk.class_regions3d import named_parts, painted
from dimple.views.web.data import charts_data, classes_data, nearest_of, short
from dimple.views.web.field import packed

# Class numbers are bytes in pairs, the low one first, as the page's script reads them.
PAIR = np.dtype("<u2")
# A class number with this bit has valid inputs.
VALID = 1 << 15
# The size, in pixels, of the picture that names are placed on, and of the control.
PICTURE, CONTROL = 640, 380
LETTERS = 15
# On that picture: what a marker takes, how far its image is as in film_section.js, and half an image.
POINT, AWAY, TILE = 34.0, 62.0, 46.0
# Where a name in space may stand, at most.
CANDIDATES = 12
AT_AN_IMAGE = {"margin_section": "in the section", "margin_any": "anywhere"}


def section_data(run: Run, frames: Sequence[Frame]) -> tuple[dict[str, Any], dict[str, str]]:
    """The data of the page, and its packed bytes by name."""
    first, about = frames[0].drawing, run.info["section"]
    flat = first.ambient_dim == 2
    section: dict[str, Any] = {
        "classes": about["classes"],
        "met": [classes_met(frame.drawing) for frame in frames],
        "captions": [frame.drawing.points.names for frame in frames],
        "pictures": [png(Image.fromarray(pixels)) for pixels in first.points.pictures],
        "names": [_names_flat(frame) if flat else _names(frame) for frame in frames],
        "control": _control(frames),
        "bounds": first.classes is not None and first.classes.valid is not None,
    }
    drawing: dict[str, Any] = {
        "dim": first.ambient_dim,
        "low": first.low,
        "high": first.high,
        "points": short(first.points.positions),
        "labels": first.points.classes.tolist(),
        "predictions": [_predictions(frame) for frame in frames],
        "nearest": [nearest_of(frame) for frame in frames],
        "measured": _measured(run, frames),
        "manifold": None,
        "pull": None,
        "section": section,
    }
    if not flat:
        camera = look(first, None)
        drawing["eye"] = short(camera.position - camera.focus)
    data = {
        "steps": [frame.step for frame in frames],
        "phases": [],
        "facts": [
            [{"name": fact.name, "value": fact.value, "null": fact.null} for fact in frame.facts] for frame in frames
        ],
        "charts": charts_data(frames[0].timeline) if len(frames) > 1 else [],
        "classes": classes_data(),
        "verdict": "",
        "drawing": drawing,
    }
    return data, _plane(section, run, frames) if flat else _rooms(section, frames)


def _plane(section: dict[str, Any], run: Run, frames: Sequence[Frame]) -> dict[str, str]:
    """The regions `(T, M, M)`, the lines as `(S, 4)` 16-bit places of each step, and the map to the inputs."""
    arrays, lines = run.geometry(), [_lines(frame.drawing) for frame in frames]
    regions = np.stack([_classes_of(frame.drawing) for frame in frames])
    shape = list(arrays["origin"].shape) if "images" in arrays else None
    section |= {"side": regions.shape[1], "lines": [len(part) for part in lines], "shape": shape}
    inputs = np.concatenate([arrays["origin"].reshape(1, -1), arrays["axes"].T]).astype(np.float32)
    return {"regions": packed(regions), "lines": packed(np.concatenate(lines)), "inputs": packed(inputs)}


def _classes_of(drawing: Drawing) -> NDArray[np.uint16]:
    """The class of each square of the regions, with the bit of valid inputs."""
    classes = drawing.classes
    assert classes is not None
    rows, columns = classes.regions.shape
    inside = Image.new("1", (columns, rows), 1 if classes.valid is None else 0)
    if classes.valid is not None and len(classes.valid) > 2:
        low, high = np.array(drawing.low), np.array(drawing.high)
        corners = (classes.valid - low) / (high - low) * (columns, rows)
        ImageDraw.Draw(inside).polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(classes.regions + VALID * np.asarray(inside), dtype=PAIR)


def _lines(drawing: Drawing) -> NDArray[np.uint16]:
    layer = drawing.layer("boundary")
    assert layer is not None
    low, high = np.array(drawing.low), np.array(drawing.high)
    ends = (layer.mesh.vertices[layer.mesh.faces] - low) / (high - low)
    return np.asarray(np.rint(ends.reshape(-1, 4).clip(0, 1) * 65535), dtype=np.uint16)


def _rooms(section: dict[str, Any], frames: Sequence[Frame]) -> dict[str, str]:
    """Walls and sides: places in 16 bits, normals in 8, class and strength in 16, triangles in 32; and the volume."""
    parts = [painted(frame.drawing) for frame in frames]
    low, high = np.array(frames[0].drawing.low), np.array(frames[0].drawing.high)
    places = [np.rint(((part.places - low) / (high - low)).clip(0, 1) * 65535).astype(np.uint16) for part in parts]
    normals = [np.rint(part.normals * 127).astype(np.int8) for part in parts]
    paints = [np.stack([part.classes, np.rint(part.strength * 255)], axis=1).astype(PAIR) for part in parts]
    volumes = np.stack([_volume(frame.drawing.classes) for frame in frames])
    section |= {
        "vertices": [len(part.places) for part in parts],
        "triangles": [len(part.faces) for part in parts],
        "corners": volumes.shape[1],
    }
    arrays = {"places": places, "normals": normals, "paints": paints}
    blobs = {name: packed(np.concatenate(values)) for name, values in arrays.items()}
    blobs["faces"] = packed(np.concatenate([part.faces for part in parts]).astype(np.uint32))
    return blobs | {"volume": packed(volumes)}


def _volume(classes: Classes | None) -> NDArray[np.uint16]:
    assert classes is not None
    return classes.regions.astype(PAIR)


def _names_flat(frame: Frame) -> list[dict[str, Any]]:
    """The names in their regions, in units of the plane."""
    drawing, fit = frame.drawing, Fit.of(frame.drawing, (PICTURE, PICTURE))
    assert drawing.classes is not None
    places = fit.pixels(drawing.points.positions)
    taken = [(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in places.tolist()]
    if len(drawing.points.pictures):
        taken += _tiles(places)
    found = name_places(drawing, drawing.classes, fit, LETTERS, taken)
    return [{"name": name, "at": [short(np.array([x, PICTURE - y]) / fit.scale + fit.corner)]} for x, y, name in found]


def _tiles(places: Reals) -> list[Rectangle]:
    """What the images take as the page places them before anything is turned: away from the middle of the points."""
    away = places - places.mean(0) if len(places) > 1 else np.array([[0.0, -1.0]])
    middles = places + AWAY * away / np.linalg.norm(away, axis=1, keepdims=True).clip(min=1e-9)
    return [(x - TILE, y - TILE, x + TILE, y + TILE) for x, y in middles.tolist()]


def _names(frame: Frame) -> list[dict[str, Any]]:
    """The names on all six sides of the box, each with the places where it may stand, the best ones first."""
    return [
        {"name": part.name, "side": [part.axis, part.end], "at": short(part.some(CANDIDATES))}
        for part in named_parts(frame.drawing, None)
    ]


def _control(frames: Sequence[Frame]) -> dict[str, Any]:
    """The pictures of the random section at each step."""
    pictures, title, canvas = [], "", None
    for frame in frames:
        assert frame.control is not None
        alone, title = control_of(frame), frame.control.title
        canvas = canvas or Canvas(alone, (CONTROL, CONTROL), 0.9)
        pictures.append(png(canvas.draw(alone).quantize(128)))
    if canvas is not None:
        canvas.close()
    return {"title": title, "pictures": pictures}


def _predictions(frame: Frame) -> list[int] | None:
    predictions = frame.drawing.points.predictions
    return None if predictions is None else predictions.tolist()


def _measured(run: Run, frames: Sequence[Frame]) -> dict[str, Any]:
    """How far the boundary is from each image that is shown, as text by step and image, with its null."""
    table, inside = run.points(), shown_rows(run.geometry())
    count = len(table["index"]) // len(frames)

    def grid(column: str) -> list[list[str]] | None:
        if column not in table:
            return None
        return [[number(abs(float(v))) for v in row[inside]] for row in table[column].reshape(len(frames), count)]

    return {
        column: {"name": name, "values": grid(column), "null": grid(column + NULL)}
        for column, name in AT_AN_IMAGE.items()
    }
