"""What one moment of a film shows, as plain arrays: no renderer is imported here, so any of them can draw it."""

import dataclasses
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from dimple.levelsets.mesh import Mesh

Role: TypeAlias = Literal["boundary", "manifold"]
Reals: TypeAlias = NDArray[np.float64]
Whole: TypeAlias = NDArray[np.int64]
Bytes: TypeAlias = NDArray[np.uint8]


@final
@dataclasses.dataclass(frozen=True)
class Layer:
    """One surface (n = 3) or curve (n = 2) of a drawing.

    Attributes:
        mesh: triangles in space or segments in the plane. Class 1 lies on the side that the normals of the triangles
            point to, and on the left of the segments.
        role: the decision boundary, or the manifold that the data lie on.
        relief: `(V,)` for a boundary in space, in units of length: how deep the nearest place of the manifold lies
            within class 1 (positive) or class 0 (negative); zero where the boundary touches the manifold.
        pairs: `(F, 2)` for a boundary of many classes: the class that each face looks at, then the one behind it.
    """

    mesh: Mesh
    role: Role
    relief: Reals | None = None
    pairs: Whole | None = None


@final
@dataclasses.dataclass(frozen=True)
class PointSet:
    """Labelled points: positions `(N, n)` and classes `(N,)`, with the predicted classes `(N,)` where known.

    Points that are images have `pictures`, `(H, W, 3)` bytes each, and `names`, a caption each.
    """

    positions: Reals
    classes: Whole
    predictions: Whole | None = None
    pictures: tuple[Bytes, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """Which points the network puts into another class, `(N,)`; none where no predictions are known."""
        if self.predictions is None:
            return np.zeros(len(self.classes), dtype=bool)
        return np.asarray(self.predictions != self.classes)


@final
@dataclasses.dataclass(frozen=True)
class Perturbations:
    """The shortest steps from points to the decision boundary, and their parts along and off the data manifold.

    All are vectors `(N, n)` from the points, in input units; nan where no boundary was found. `on + off = whole`, and
    the two parts are orthogonal. They may have more dimensions than a drawing.
    """

    whole: Reals
    on: Reals
    off: Reals

    @property
    def on_share(self) -> Reals:
        """The share of the squared length that lies along the manifold, `(N,)`; d / n for a random direction.

        Example:
            >>> on, off = np.array([[0.6, 0.0]]), np.array([[0.0, 0.8]])
            >>> Perturbations(on + off, on, off).on_share.round(2).tolist()
            [0.36]
        """
        return np.asarray((self.on**2).sum(1) / (self.whole**2).sum(1), dtype=np.float64)


@final
@dataclasses.dataclass(frozen=True)
class Classes:
    """Many classes in a box.

    Attributes:
        names: by class number.
        regions: `(rows, columns)`, the class of each square of a plane's box, y rising by rows; in space `(M, M, M)`,
            the class at each corner of a lattice, from the box's low corner to its high one, by x, y and z.
        sides: in space `(3, 2, S, S)`, the class of each of S x S squares of the box's sides: of each axis the low and
            the high side, by the other two coordinates in their order.
        valid: `(P, n)` corners of the convex part of the box that are inputs at all; None where there are no bounds.
        unit: of the lengths in the drawing.
    """

    names: tuple[str, ...]
    regions: Whole
    valid: Reals | None
    unit: str
    sides: Whole | None = None


@final
@dataclasses.dataclass(frozen=True)
class Drawing:
    """Layers and points within a box of R^2 or R^3 with corners `low` and `high`.

    `outline` `(P, 2)`, the corners of a convex polygon in order, is where in the plane the classifier was asked;
    without it, in the whole box. `classes` is there where the boundary is that of many.
    """

    layers: tuple[Layer, ...]
    points: PointSet
    low: tuple[float, ...]
    high: tuple[float, ...]
    outline: Reals | None = None
    classes: Classes | None = None

    @property
    def ambient_dim(self) -> int:
        """2 for a drawing in the plane, 3 for one in space."""
        return len(self.low)

    @property
    def side(self) -> float:
        """The largest side of the box."""
        return max(b - a for a, b in zip(self.low, self.high, strict=True))

    def layer(self, role: Role) -> Layer | None:
        """The first layer of that role."""
        return next((layer for layer in self.layers if layer.role == role), None)


def classes_met(drawing: Drawing) -> list[int]:
    """The classes that have a place in the drawing, those of its points included, rising."""
    found = [drawing.points.classes]
    if drawing.classes is not None:
        found.append(drawing.classes.regions)
    found += [layer.pairs for layer in drawing.layers if layer.pairs is not None]
    return [int(label) for label in np.unique(np.concatenate([part.ravel() for part in found]))]


@final
@dataclasses.dataclass(frozen=True)
class Plane:
    """A plane of R^3: the points `origin + a axes[0] + b axes[1]`, with orthonormal rows `axes` `(2, 3)`."""

    origin: Reals
    axes: Reals

    @property
    def normal(self) -> Reals:
        """The unit normal that looks at a viewer for whom axes[0] points right and axes[1] up."""
        return np.asarray(np.cross(self.axes[0], self.axes[1]), dtype=np.float64)

    def coordinates(self, points: Reals) -> Reals:
        """The in-plane coordinates `(N, 2)` of points `(N, 3)`, dropping what sticks out of the plane."""
        return np.asarray((points - self.origin) @ self.axes.T, dtype=np.float64)


@final
@dataclasses.dataclass(frozen=True)
class Section:
    """A planar cut through a drawing in space, with what lies in it as a drawing of the plane."""

    plane: Plane
    drawing: Drawing
    note: str = ""


@final
@dataclasses.dataclass(frozen=True)
class Panel:
    """A second drawing that the first is to be compared with, such as its control, and a line that says what it is."""

    drawing: Drawing
    title: str


@final
@dataclasses.dataclass(frozen=True)
class Fact:
    """One line of a caption: a figure in words, beside the figure that chance alone would give."""

    name: str
    value: str
    null: str = ""


@final
@dataclasses.dataclass(frozen=True)
class Curve:
    """One figure along training: values `(T,)`, drawn solid, and the same figure under its null, drawn dashed."""

    name: str
    values: Reals
    null: Reals | None = None


@final
@dataclasses.dataclass(frozen=True)
class Chart:
    """Curves that share an axis; `limits` fixes it, otherwise it holds zero and all values, or `logarithmic` all."""

    title: str
    curves: tuple[Curve, ...]
    unit: str = ""
    limits: tuple[float, float] | None = None
    logarithmic: bool = False


@final
@dataclasses.dataclass(frozen=True)
class Timeline:
    """The charts of a whole run over its steps `(T,)`, with the named steps at which a phase was complete."""

    steps: Whole
    charts: tuple[Chart, ...]
    phases: tuple[tuple[str, int], ...] = ()


@final
@dataclasses.dataclass(frozen=True)
class Frame:
    """One snapshot of a run, ready to be drawn.

    Attributes:
        title: the name of the scene.
        step: the training step of the snapshot.
        index: its place in the timeline, which all frames of a run share.
        drawing: the scene in R^2 or R^3.
        facts: the lines of the caption.
        relief_scale: the relief at which the colour of the boundary is full, in units of length.
        section: a planar cut, for scenes in space.
        control: what chance alone would show.
        note: what is shown, where the drawing is not all of the space.

    Example:
        >>> points = PointSet(np.zeros((1, 2)), np.zeros(1, dtype=np.int64))
        >>> blank = Drawing((), points, (-1.0, -1.0), (1.0, 1.0))
        >>> Frame("nothing", 0, 0, blank, (), Timeline(np.zeros(1, dtype=np.int64), ())).phase
        ''
    """

    title: str
    step: int
    index: int
    drawing: Drawing
    facts: tuple[Fact, ...]
    timeline: Timeline
    relief_scale: float = 1.0
    section: Section | None = None
    control: Panel | None = None
    note: str = ""

    @property
    def moment(self) -> str:
        """The step in words; empty for a network that stands alone, beside its control."""
        return f"step {self.step:,}" if len(self.timeline.steps) > 1 or self.control is None else ""

    @property
    def phase(self) -> str:
        """The names of the phases that are complete at this step, in the order in which they were."""
        reached = sorted((step, name) for name, step in self.timeline.phases if step <= self.step)
        return ", then ".join(name for _, name in reached)


def control_of(frame: Frame) -> Frame:
    """The control of a frame as a frame of its own, to be drawn as the frame is."""
    assert frame.control is not None
    return dataclasses.replace(frame, drawing=frame.control.drawing, section=None, control=None)
