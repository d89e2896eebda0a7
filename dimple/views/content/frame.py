"""Content of one frame as plain arrays. The module imports no renderer, so that every renderer can draw a frame."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh

LayerRole: TypeAlias = Literal["boundary", "manifold"]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
UInt8Array: TypeAlias = NDArray[np.uint8]


@final
@dataclasses.dataclass(frozen=True)
class MeshLayer:
    """One surface (n = 3) or curve (n = 2) of a drawing.

    Attributes:
        mesh: triangles in space or segments in the plane. Class 1 lies on the side that the normals of the triangles
            point to, and to the left of the segments.
        role: `boundary` for the decision boundary, `manifold` for the manifold that the data lie on.
        manifold_depth: `(V,)` for a boundary in space, in units of length: the depth of the closest point on the
            manifold inside class 1 (positive) or class 0 (negative); zero where the boundary touches the manifold.
        class_pairs: `(F, 2)` for a boundary of many classes: the class in front of each face, where its normal points
            to, and the class behind it.
    """

    mesh: Mesh
    role: LayerRole
    manifold_depth: FloatArray | None = None
    class_pairs: IntArray | None = None


@final
@dataclasses.dataclass(frozen=True)
class PointSet:
    """Labeled points.

    Attributes:
        positions: `(N, n)`.
        labels: class numbers, `(N,)`.
        predictions: predicted class numbers, `(N,)`; None if they are not known.
        images: for points that are images, the pixels of each, `(H, W, 3)` bytes.
        captions: for points that are images, one caption each.
        closest: the nearest boundary point of each as it was measured, `(N, n)`, nan where none was found; None if it
            is not known.
    """

    positions: FloatArray
    labels: IntArray
    predictions: IntArray | None = None
    images: tuple[UInt8Array, ...] = ()
    captions: tuple[str, ...] = ()
    closest: FloatArray | None = None

    @property
    def misclassified(self) -> NDArray[np.bool_]:
        """The mask `(N,)` of the points whose prediction differs from their label; all False without predictions."""
        if self.predictions is None:
            return np.zeros(len(self.labels), dtype=bool)
        return np.asarray(self.predictions != self.labels)


@final
@dataclasses.dataclass(frozen=True)
class Perturbations:
    """The shortest perturbations from points to the decision boundary, and their parts along and off the data manifold.

    All are vectors `(N, n)` that start at the points, in input units; nan where no boundary was found. The sum
    `on_manifold + off_manifold` equals `total`, and the two parts are orthogonal. The vectors may have more dimensions
    than a drawing.
    """

    total: FloatArray
    on_manifold: FloatArray
    off_manifold: FloatArray

    @property
    def on_manifold_fraction(self) -> FloatArray:
        """The fraction of the squared length that lies along the manifold, `(N,)`; d / n on average at random.

        Example:
            >>> on, off = np.array([[0.6, 0.0]]), np.array([[0.0, 0.8]])
            >>> Perturbations(on + off, on, off).on_manifold_fraction.round(2).tolist()
            [0.36]
        """
        return np.asarray((self.on_manifold**2).sum(1) / (self.total**2).sum(1), dtype=np.float64)


@final
@dataclasses.dataclass(frozen=True)
class ClassRegions:
    """The regions of many classes in the box of a drawing.

    Attributes:
        class_names: names by class number.
        label_grid: class numbers, negative where the classifier has no answer. In the plane `(rows, columns)`, one for
            each square of the box, with y increasing from row to row. In space `(M, M, M)`, one for each grid point
            from the low corner of the box to the high one, by x, y and z.
        valid_vertices: `(P, n)` vertices of the convex part of the box that contains valid inputs; None if the inputs
            have no bounds.
        unit: unit of the lengths in the drawing.
        side_labels: in space `(3, 2, S, S)`, class numbers of S x S squares on each side of the box: for each axis the
            low side and the high side, by the other two coordinates in their order.
    """

    class_names: tuple[str, ...]
    label_grid: IntArray
    valid_vertices: FloatArray | None
    unit: str
    side_labels: IntArray | None = None


@final
@dataclasses.dataclass(frozen=True)
class Drawing:
    """Layers and points in a box of R^2 or R^3.

    Attributes:
        layers: boundaries and manifolds.
        points: the points to draw.
        low: low corner of the box, of length n.
        high: high corner of the box, of length n.
        domain_polygon: in the plane, the vertices `(P, 2)` in order of the convex polygon in which the classifier was
            evaluated; None if that is the full box.
        class_regions: the class regions if the boundary separates many classes, else None.
    """

    layers: tuple[MeshLayer, ...]
    points: PointSet
    low: tuple[float, ...]
    high: tuple[float, ...]
    domain_polygon: FloatArray | None = None
    class_regions: ClassRegions | None = None

    @property
    def ambient_dim(self) -> int:
        """The dimension of the drawing: 2 in the plane, 3 in space."""
        return len(self.low)

    @property
    def longest_side(self) -> float:
        """The length of the longest side of the box."""
        return max(b - a for a, b in zip(self.low, self.high, strict=True))

    @property
    def has_boundary(self) -> bool:
        """True if there is a boundary in the box."""
        boundary = self.layer("boundary")
        return boundary is not None and len(boundary.mesh.faces) > 0

    @property
    def has_invalid_inputs(self) -> bool:
        """True if inputs in a part of the box are not valid: the valid part does not contain all corners of the box."""
        valid = None if self.class_regions is None else self.class_regions.valid_vertices
        if valid is None:
            return False
        # A plane may lie on the floor of a space.
        dim = valid.shape[1]
        ends = zip(self.low[:dim], self.high[:dim], strict=True)
        corners = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, dim)
        distances = np.linalg.norm(corners[:, None] - valid[None], axis=2)
        return bool((distances.min(1, initial=np.inf) > 1e-6 * self.longest_side).any())

    def closest_boundary_points(self) -> FloatArray:
        """Return the boundary point nearest to each point, `(N, n)`, nan without one in the box.

        It is the measured one, on the boundary of the network. Where that is not known, it is the closest point of the
        drawn boundary.
        """
        # Imported here because numba takes a second to load.
        from dimple.levelsets.closest_points import closest_points_on_mesh

        if self.points.closest is not None:
            inside = ((self.points.closest >= self.low) & (self.points.closest <= self.high)).all(1, keepdims=True)
            return np.where(inside, self.points.closest, np.nan)
        boundary = self.layer("boundary")
        if boundary is None:
            return np.full(self.points.positions.shape, np.nan)
        return closest_points_on_mesh(boundary.mesh, self.points.positions)

    def layer(self, role: LayerRole) -> MeshLayer | None:
        """Return the first layer with a role, or None if there is none."""
        return next((layer for layer in self.layers if layer.role == role), None)


def present_classes(drawings: Sequence[Drawing]) -> list[int]:
    """Return the class numbers that occur in the regions, boundaries or points of drawings, in increasing order."""
    labels = []
    for drawing in drawings:
        labels.append(drawing.points.labels)
        if drawing.class_regions is not None:
            labels.append(drawing.class_regions.label_grid)
        labels += [layer.class_pairs for layer in drawing.layers if layer.class_pairs is not None]
    return [int(label) for label in np.unique(np.concatenate([part.ravel() for part in labels])) if label >= 0]


@final
@dataclasses.dataclass(frozen=True)
class CrossSectionPlane:
    """A plane of R^3: all points `origin + a axes[0] + b axes[1]`, with the orthonormal rows `axes` `(2, 3)`."""

    origin: FloatArray
    axes: FloatArray

    @property
    def normal(self) -> FloatArray:
        """The unit normal `(3,)` that points to a viewer who sees `axes[0]` to the right and `axes[1]` upwards."""
        return np.asarray(np.cross(self.axes[0], self.axes[1]), dtype=np.float64)

    def coordinates(self, points: FloatArray) -> FloatArray:
        """Return the in-plane coordinates `(N, 2)` of the orthogonal projections of points `(N, 3)`."""
        return np.asarray((points - self.origin) @ self.axes.T, dtype=np.float64)


@final
@dataclasses.dataclass(frozen=True)
class CrossSection:
    """A cross-section of a drawing in space: the plane, and its content as a drawing in the plane."""

    plane: CrossSectionPlane
    drawing: Drawing
    note: str = ""


@final
@dataclasses.dataclass(frozen=True)
class ControlDrawing:
    """The control that a drawing is compared with, and a title that describes it."""

    drawing: Drawing
    title: str


@final
@dataclasses.dataclass(frozen=True)
class Fact:
    """One line of a caption: name, value, the baseline to compare with, the interval and the meaning, where known."""

    name: str
    value: str
    baseline: str = ""
    interval: str = ""
    meaning: str = ""


@final
@dataclasses.dataclass(frozen=True)
class ChartCurve:
    """One quantity over the steps `(T,)`.

    Attributes:
        name: for the legend.
        values: drawn solid.
        baseline: the values to compare with, drawn dashed.
        interval: the ends of the 95 % interval of the values, drawn as an area.
        band: the ends of the band of the null, drawn dotted.
    """

    name: str
    values: FloatArray
    baseline: FloatArray | None = None
    interval: tuple[FloatArray, FloatArray] | None = None
    band: tuple[FloatArray, FloatArray] | None = None


@final
@dataclasses.dataclass(frozen=True)
class Chart:
    """Curves with a common vertical axis.

    Attributes:
        title: title above the axes.
        curves: the curves.
        unit: unit of the values; empty for numbers without one.
        limits: ends of a linear axis; if None, the axis contains zero and all values.
        logarithmic: if True, the axis is logarithmic and contains all values.
    """

    title: str
    curves: tuple[ChartCurve, ...]
    unit: str = ""
    limits: tuple[float, float] | None = None
    logarithmic: bool = False


@final
@dataclasses.dataclass(frozen=True)
class Timeline:
    """The charts of a run over its steps `(T,)`.

    Attributes:
        steps: the steps of the snapshots.
        charts: the charts.
        phases: the name of each phase of the prediction, and the step at which it was complete.
        intervals: what was so in an interval of the training, in words, with its first and last step.
    """

    steps: IntArray
    charts: tuple[Chart, ...]
    phases: tuple[tuple[str, int], ...] = ()
    intervals: tuple[tuple[str, int, int], ...] = ()

    def describe_step(self, step: int) -> list[str]:
        """Return what is so at a step, each with its first and last step.

        Example:
            >>> steps = np.array([0, 8, 53, 161])
            >>> intervals = (("near the manifold", 8, 53), ("all points right", 53, 161))
            >>> Timeline(steps, (), intervals=intervals).describe_step(53)
            ['near the manifold, steps 8 to 53', 'all points right, steps 53 to 161']
        """
        return [
            f"{name}, " + (f"steps {first:,} to {last:,}" if first < last else f"step {first:,}")
            for name, first, last in self.intervals
            if first <= step <= last
        ]


@final
@dataclasses.dataclass(frozen=True)
class Frame:
    """One snapshot of a run, ready to be drawn.

    Attributes:
        title: name of the scene.
        step: training step of the snapshot.
        index: position of the snapshot in the timeline.
        drawing: the scene in R^2 or R^3.
        facts: lines of the caption.
        timeline: charts over all steps; all frames of a run share it.
        depth_scale: depth of the manifold at which the color of the boundary is full, in units of length.
        cross_section: a cross-section, for scenes in space.
        control: the control drawing, for an affine slice.
        note: description of the drawing if it shows only a part of the input space.

    Example:
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> blank = Drawing((), points, (-1.0, -1.0), (1.0, 1.0))
        >>> Frame("nothing", 0, 0, blank, (), Timeline(np.zeros(1, dtype=np.int64), ())).phase_text
        ''
    """

    title: str
    step: int
    index: int
    drawing: Drawing
    facts: tuple[Fact, ...]
    timeline: Timeline
    depth_scale: float = 1.0
    cross_section: CrossSection | None = None
    control: ControlDrawing | None = None
    note: str = ""

    @property
    def drawings(self) -> tuple[Drawing, ...]:
        """The drawing, and that of the control if there is one."""
        return (self.drawing,) if self.control is None else (self.drawing, self.control.drawing)

    @property
    def step_text(self) -> str:
        """The step as text; empty for an affine slice of a single network."""
        return f"step {self.step:,}" if len(self.timeline.steps) > 1 or self.control is None else ""

    @property
    def phase_text(self) -> str:
        """A text with all that is so at this step, each with its first and last step."""
        return "; ".join(self.timeline.describe_step(self.step))


def control_frame(frame: Frame) -> Frame:
    """Return the control of a frame as a separate frame, so that both are drawn in the same way."""
    assert frame.control is not None
    return dataclasses.replace(frame, drawing=frame.control.drawing, cross_section=None, control=None)
