"""Data of the interactive page of a slice: class regions, lines or walls, images and control."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dimple.runs.run import RunFolder
from dimple.stats.aggregate import comparison_column
from dimple.views.content.camera import default_camera
from dimple.views.content.frame import ClassRegions, Drawing, FloatArray, Frame, control_frame, present_classes
from dimple.views.content.from_slice import visible_image_rows
from dimple.views.content.labels import format_number
from dimple.views.content.viewport import Viewport
from dimple.views.drawing.class_regions import name_pixels
from dimple.views.drawing.insets import Rectangle
from dimple.views.film.canvas import DrawingRenderer
from dimple.views.report.html import png_data_uri
from dimple.views.vtk.class_regions3d import class_regions_mesh, find_side_regions
from dimple.views.web.data import charts_data, classes_data, round_for_json
from dimple.views.web.field import pack_array

# Class numbers are little-endian pairs of bytes, as the script of the page reads them.
CLASS_DTYPE = np.dtype("<u2")
# The bit of a class number that marks valid inputs.
VALID_BIT = 1 << 15
# Sizes in pixels of the picture on which names are placed, and of the control.
LABEL_IMAGE_SIZE = 640
CONTROL_IMAGE_SIZE = 380
LABEL_FONT_SIZE = 15
# On that picture, in pixels: half a marker, the distance from a point to its image as in page_slice.js, half an image.
MARKER_HALF_SIZE = 34.0
IMAGE_DISTANCE = 62.0
IMAGE_HALF_SIZE = 46.0
# The largest number of candidate positions of a name in space.
MAX_LABEL_POSITIONS = 12
IMAGE_COLUMN_LABELS = {"margin_in_slice": "in the slice", "margin_unbounded": "in any direction"}


def slice_page_data(run: RunFolder, frames: Sequence[Frame]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the data of the page, and its packed bytes by name."""
    first = frames[0].drawing
    about = run.info["slice"]
    flat = first.ambient_dim == 2
    slice_data: dict[str, Any] = {
        "classes": about["classes"],
        "presentClasses": [present_classes(frame.drawings) for frame in frames],
        "captions": [frame.drawing.points.captions for frame in frames],
        "images": [png_data_uri(Image.fromarray(pixels)) for pixels in first.points.images],
        "names": [_class_labels_2d(frame) if flat else _class_labels_3d(frame) for frame in frames],
        "control": _control_images(frames),
        "invalid": any(drawing.has_invalid_inputs for drawing in frames[0].drawings),
    }
    drawing: dict[str, Any] = {
        "dim": first.ambient_dim,
        "low": first.low,
        "high": first.high,
        "points": round_for_json(first.points.positions),
        "labels": first.points.labels.tolist(),
        "predictions": [_predictions(frame) for frame in frames],
        "nearest": [round_for_json(frame.drawing.closest_boundary_points()) for frame in frames],
        "measured": _image_measurements(run, frames),
        "manifold": None,
        "offsets": None,
        "slice": slice_data,
    }
    if not flat:
        camera = default_camera(first, None)
        drawing["eye"] = round_for_json(camera.position - camera.focal_point)
    data = {
        "steps": [frame.step for frame in frames],
        "phases": [],
        "facts": [
            [{"name": fact.name, "value": fact.value, "baseline": fact.baseline} for fact in frame.facts]
            for frame in frames
        ],
        "charts": charts_data(frames[0].timeline) if len(frames) > 1 else [],
        "classes": classes_data(),
        "verdict": "",
        "drawing": drawing,
    }
    return data, _encode_slice_2d(slice_data, run, frames) if flat else _encode_slice_3d(slice_data, frames)


def _encode_slice_2d(slice_data: dict[str, Any], run: RunFolder, frames: Sequence[Frame]) -> dict[str, str]:
    """Return the packed regions `(T, M, M)`, the lines `(S, 4)` of 16-bit positions, and the map to the inputs."""
    arrays = run.geometry()
    lines = [_encode_lines(frame.drawing) for frame in frames]
    regions = np.stack([_encode_class_cells(frame.drawing) for frame in frames])
    shape = list(arrays["origin"].shape) if "images" in arrays else None
    slice_data |= {"side": regions.shape[1], "lines": [len(segments) for segments in lines], "shape": shape}
    inputs = np.concatenate([arrays["origin"].reshape(1, -1), arrays["axes"].T]).astype(np.float32)
    return {"regions": pack_array(regions), "lines": pack_array(np.concatenate(lines)), "inputs": pack_array(inputs)}


def _encode_class_cells(drawing: Drawing) -> NDArray[np.uint16]:
    """Return the class of each square of the regions, with the bit of valid inputs."""
    classes = drawing.class_regions
    assert classes is not None
    rows, columns = classes.label_grid.shape
    inside = Image.new("1", (columns, rows), 1 if classes.valid_vertices is None else 0)
    if classes.valid_vertices is not None and len(classes.valid_vertices) > 2:
        low = np.array(drawing.low)
        high = np.array(drawing.high)
        corners = (classes.valid_vertices - low) / (high - low) * (columns, rows)
        ImageDraw.Draw(inside).polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(classes.label_grid + VALID_BIT * np.asarray(inside), dtype=CLASS_DTYPE)


def _encode_lines(drawing: Drawing) -> NDArray[np.uint16]:
    layer = drawing.layer("boundary")
    assert layer is not None
    low = np.array(drawing.low)
    high = np.array(drawing.high)
    ends = (layer.mesh.vertices[layer.mesh.faces] - low) / (high - low)
    return np.asarray(np.rint(ends.reshape(-1, 4).clip(0, 1) * 65535), dtype=np.uint16)


def _encode_slice_3d(slice_data: dict[str, Any], frames: Sequence[Frame]) -> dict[str, str]:
    """Return packed walls and sides: positions and classes in 16 bits, normals in 8, triangles in 32; the volume."""
    meshes = [class_regions_mesh(frame.drawing) for frame in frames]
    low = np.array(frames[0].drawing.low)
    high = np.array(frames[0].drawing.high)
    positions = [
        np.rint(((mesh.positions - low) / (high - low)).clip(0, 1) * 65535).astype(np.uint16) for mesh in meshes
    ]
    normals = [np.rint(mesh.normals * 127).astype(np.int8) for mesh in meshes]
    colors = [np.stack([mesh.labels, np.rint(mesh.strength * 255)], axis=1).astype(CLASS_DTYPE) for mesh in meshes]
    volumes = np.stack([_encode_class_volume(frame.drawing.class_regions) for frame in frames])
    slice_data |= {
        "vertices": [len(mesh.positions) for mesh in meshes],
        "triangles": [len(mesh.faces) for mesh in meshes],
        "corners": volumes.shape[1],
    }
    arrays = {"positions": positions, "normals": normals, "colors": colors}
    blobs = {name: pack_array(np.concatenate(values)) for name, values in arrays.items()}
    blobs["faces"] = pack_array(np.concatenate([mesh.faces for mesh in meshes]).astype(np.uint32))
    return blobs | {"volume": pack_array(volumes)}


def _encode_class_volume(class_regions: ClassRegions | None) -> NDArray[np.uint16]:
    assert class_regions is not None
    return class_regions.label_grid.astype(CLASS_DTYPE)


def _class_labels_2d(frame: Frame) -> list[dict[str, Any]]:
    """Return the names at positions in their regions, in units of the plane."""
    drawing = frame.drawing
    viewport = Viewport.from_drawing(drawing, (LABEL_IMAGE_SIZE, LABEL_IMAGE_SIZE))
    assert drawing.class_regions is not None
    pixels = viewport.to_pixels(drawing.points.positions)
    occupied = [
        (x - MARKER_HALF_SIZE, y - MARKER_HALF_SIZE, x + MARKER_HALF_SIZE, y + MARKER_HALF_SIZE)
        for x, y in pixels.tolist()
    ]
    if len(drawing.points.images):
        occupied += _image_rectangles(pixels)
    placed_names = name_pixels(drawing, drawing.class_regions, viewport, LABEL_FONT_SIZE, occupied)
    return [
        {
            "name": name,
            "at": [
                round_for_json(np.array([x, LABEL_IMAGE_SIZE - y]) / viewport.pixels_per_unit + viewport.lower_left)
            ],
        }
        for x, y, name in placed_names
    ]


def _image_rectangles(positions: FloatArray) -> list[Rectangle]:
    """Return the rectangles of the images as the page first places them: away from the center of the points."""
    away = positions - positions.mean(0) if len(positions) > 1 else np.array([[0.0, -1.0]])
    centers = positions + IMAGE_DISTANCE * away / np.linalg.norm(away, axis=1, keepdims=True).clip(min=1e-9)
    return [
        (x - IMAGE_HALF_SIZE, y - IMAGE_HALF_SIZE, x + IMAGE_HALF_SIZE, y + IMAGE_HALF_SIZE)
        for x, y in centers.tolist()
    ]


def _class_labels_3d(frame: Frame) -> list[dict[str, Any]]:
    """Return the names on the six sides of the box, each with its candidate positions, the best ones first."""
    return [
        {
            "name": region.name,
            "side": [region.axis, region.end],
            "at": round_for_json(region.select_positions(MAX_LABEL_POSITIONS)),
        }
        for region in find_side_regions(frame.drawing, None)
    ]


def _control_images(frames: Sequence[Frame]) -> dict[str, Any]:
    """Return the pictures of the random slice at each step."""
    images: list[str] = []
    title = ""
    canvas = None
    for frame in frames:
        assert frame.control is not None
        alone = control_frame(frame)
        title = frame.control.title
        canvas = canvas or DrawingRenderer(alone, (CONTROL_IMAGE_SIZE, CONTROL_IMAGE_SIZE), 0.9)
        images.append(png_data_uri(canvas.draw(alone).quantize(256)))
    if canvas is not None:
        canvas.close()
    return {"title": title, "images": images}


def _predictions(frame: Frame) -> list[int] | None:
    predictions = frame.drawing.points.predictions
    return None if predictions is None else predictions.tolist()


def _image_measurements(run: RunFolder, frames: Sequence[Frame]) -> dict[str, Any]:
    """Return the distances from the boundary to each visible image as text, by step and image, with their baselines."""
    table = run.columns("points")
    inside = visible_image_rows(run.geometry())
    count = len(table["index"]) // len(frames)

    def grid(column: str) -> list[list[str]] | None:
        if column not in table:
            return None
        return [
            [format_number(abs(float(v))) for v in row[inside]] for row in table[column].reshape(len(frames), count)
        ]

    return {
        column: {"name": name, "values": grid(column), "baseline": grid(comparison_column(column))}
        for column, name in IMAGE_COLUMN_LABELS.items()
    }
