"""The result of `measure`: columns with their meaning and null, as tables, statistics, charts and boundary points."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor

from dimple.columns import describe_column
from dimple.errors import RunError, UsageError
from dimple.experiment.probing.tables import (
    SUMMARY_UNITS,
    describe_distances,
    summarize_steps,
)
from dimple.experiment.run import Run
from dimple.probes import Cost
from dimple.runs.atomic_io import write_bytes
from dimple.settings import expand_home
from dimple.stats.aggregate import (
    DRAWS_SUFFIX,
    HIGH_SUFFIX,
    LOW_SUFFIX,
    aggregate_units,
    comparison_column,
    is_comparison_column,
)
from dimple.stats.cautions import cautions
from dimple.tensors import Box, broadcast_per_sample

if TYPE_CHECKING:
    import pandas as pd

    from dimple.views.charts.notebook_figure import NotebookFigure

FORMAT = "dimple measurement 1"
# Axes of a batch of images, and the level of the brightest pixel.
IMAGE_BATCH_DIMS = 4
PIXEL_LEVELS = 255


@final
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Column(NDArrayOperatorsMixin):
    """One measured quantity at every sample, which numpy treats as the array of its values.

    `column > 0.5`, `~column`, `abs(column)` and `np.median(column)` are arrays.

    Attributes:
        name: the name in tables.
        values: `(B,)`; a distance that was not found is `inf`.
        unit: in words.
        label: a few words for charts.
        meaning: one sentence: the quantity, and how to read it.
        null: `(B,)`, the median over random subspaces, or what the value is compared with; None without a comparison.
        null_low, null_high: `(B,)`, the ends of the band of the null; None without one.
    """

    name: str
    values: Tensor
    unit: str
    label: str
    meaning: str
    null: Tensor | None = None
    null_low: Tensor | None = None
    null_high: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Any:
        return np.asarray(self)[rows]

    def __iter__(self) -> Iterator[Any]:
        return iter(np.asarray(self).tolist())

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        arrays = [np.asarray(value) if isinstance(value, Column) else value for value in inputs]
        return getattr(function, method)(*arrays, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values.cpu().numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        null = "" if self.null is None else f", null {_shorten(self.null)}"
        return f"{self.name} [{self.unit}]: {_shorten(self.values)}{null}. {self.meaning}"


@final
@dataclasses.dataclass(frozen=True, repr=False)
class Measurement:
    """The measurement of a model at samples, one row for each sample.

    `measurement["margin"]` is a column; `measurement[rows]` is the measurement of some samples, for a slice, indices or
    a mask such as `measurement["margin"] > 0.5`.

    Attributes:
        columns: the measured quantities by name, each with its null.
        x: `(B, *shape)`, the samples.
        index: `(B,)`, the rows of the samples in what was given to `measure`, also after a selection.
        bounds: the valid range of the coordinates; None for the full space.
        costs: what each probe cost, by its name.
        table: all columns, those of nulls and bands included, as in the files of a run.
        units: the unit of each column of the table.
        details: larger results `(B, ...)` by name.
        run: the run folder, where `out` was given.

    Example:
        >>> network = torch.nn.Linear(2, 2, bias=False)
        >>> _ = network.weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> from dimple import measure
        >>> found = measure(network.eval(), [[0.5, 0.5], [-0.25, 0.5]], [0, 1], bounds=(-1, 1))
        >>> found["margin"].values, found["margin"].unit
        (tensor([0.5000, 0.2500]), 'l2, input units')
        >>> found[found["margin"].values > 0.3].boundary_points.round(decimals=3) + 0.0
        tensor([[0.0000, 0.5000]])
    """

    table: dict[str, Tensor]
    units: dict[str, str]
    details: dict[str, Tensor]
    x: Tensor
    bounds: Box | None
    costs: dict[str, Cost]
    index: Tensor
    run: Run | None = None

    @property
    def columns(self) -> dict[str, Column]:
        return {name: self._column(name) for name in self.table if not is_comparison_column(name, self.table)}

    def _column(self, name: str) -> Column:
        meaning = describe_column(name)
        null = comparison_column(name)
        comparisons = [self.table.get(null + end) for end in ("", LOW_SUFFIX, HIGH_SUFFIX)]
        unit = self.units.get(name, "")
        return Column(name, self.table[name], unit, meaning.label, meaning.text, *comparisons)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.table:
                raise UsageError(f"the measurement has no column {key!r}; choose from {', '.join(self.columns)}")
            return self._column(key)
        rows = self._rows(key)
        table = {name: values[rows] for name, values in self.table.items()}
        details = {name: values[rows] for name, values in self.details.items()}
        x = self.x[rows]
        index = self.index[rows]
        return dataclasses.replace(self, table=table, details=details, x=x, index=index, run=None)

    def _rows(self, key: Any) -> Tensor:
        """Return the numbers of the selected rows.

        Raises:
            UsageError: if the key is no selection of rows.
            IndexError: if there are no such rows.
        """
        problem = f"the measurement has the rows 0 to {len(self) - 1}"
        if isinstance(key, bool | np.bool_):
            raise UsageError(f"{key} selects no rows; give a slice, indices or a mask of {len(self)} values")
        if not isinstance(key, slice):
            key = np.asarray(key.cpu() if isinstance(key, Tensor) else key)
            # An empty list has the type of real numbers.
            key = key if key.size else key.astype(int)
        try:
            chosen = np.arange(len(self))[key]
        except IndexError as error:
            raise IndexError(f"{problem}, and the selection does not fit: {error}") from None
        return torch.from_numpy(np.atleast_1d(chosen).astype(np.int64))

    @property
    def boundary_points(self) -> Tensor:
        """The nearest boundary point of each sample, in the shape of `x`; nan where none was found.

        Raises:
            UsageError: if no probe searched for one.
        """
        return self.x + self.perturbations

    @property
    def perturbations(self) -> Tensor:
        """The step from each sample to its nearest boundary point, in the shape of `x`; nan where none was found.

        Raises:
            UsageError: if no probe searched for one.
        """
        if "boundary_point" in self.details:
            step = self.details["boundary_point"] - self.x
            margin = self.table["margin"]
        elif "on_part" in self.details:
            step = self.details["on_part"] + self.details["off_part"]
            margin = self.table["margin_unbounded"]
        else:
            raise UsageError("no probe searched for boundary points; measure with the probe margin or onoff")
        return torch.where(broadcast_per_sample(torch.isfinite(margin), step), step, torch.nan)

    @property
    def statistics(self) -> dict[str, Any]:
        """The statistics over the samples by name: medians or means, each with its null, band and verdict."""
        if not len(self):
            return {"samples": 0}
        row = summarize_steps([self.to_arrays()], self.units)[0]
        return {name: value for name, value in row.items() if name not in ("step", "split")}

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all columns and the draws of the nulls as arrays, with the columns that a run has: step and split."""
        count = len(self)
        first = {"step": np.zeros(count, dtype=np.int64), "split": np.full(count, "test"), "index": self.index.numpy()}
        draws = {name: values for name, values in self.details.items() if name.endswith(DRAWS_SUFFIX)}
        return first | {name: values.cpu().numpy() for name, values in (self.table | draws).items()}

    def to_pandas(self) -> "pd.DataFrame":
        """Return all columns as a data frame, whose index is `index`; its `attrs` hold units, meanings, sources."""
        import pandas as pd

        values = {name: values.cpu().numpy() for name, values in self.table.items()}
        frame = pd.DataFrame(values, index=pd.Index(self.index.numpy(), name="index"))
        frame.attrs["units"] = dict(self.units)
        frame.attrs["meanings"] = {name: describe_column(name).text for name in self.table}
        frame.attrs["sources"] = {name: describe_column(name).source for name in self.table}
        return frame

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Hand all columns to libraries that speak Arrow, with the column `index`: `polars.DataFrame(measurement)`."""
        return self.to_pandas().reset_index().__arrow_c_stream__(requested_schema)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but samples and details as plain Python values: statistics, columns, units and costs."""
        return {
            "bounds": None if self.bounds is None else self.bounds.to_lists(),
            "statistics": self.statistics,
            "columns": {name: values.tolist() for name, values in self.table.items()},
            "units": dict(self.units),
            "costs": {name: dataclasses.asdict(cost) for name, cost in self.costs.items()},
        }

    @property
    def heading(self) -> str:
        """One line: the number of samples, the norms and the bounds of the distances."""
        bounds = None if self.bounds is None else str(self.bounds)
        distances = describe_distances([n for n in self.statistics if n in self.columns], self.units, bounds)
        return f"{len(self)} sample{'' if len(self) == 1 else 's'}, {distances}"

    def summary(self, width: int = 120) -> "SummaryText":
        """Return the statistics as a table of text, as the program prints it."""
        from rich.console import Console

        from dimple.views.report.text_table import build_table

        console = Console(width=width, color_system=None, highlight=False)
        with console.capture() as capture:
            console.print(self.heading, markup=False)
            console.print(
                build_table("statistic", self.statistics, self._statistic_units, width=width, levels=self._levels)
            )
            for note in self._notes:
                console.print(note, markup=False)
        return SummaryText("\n".join(line.rstrip() for line in capture.get().splitlines()))

    @property
    def _notes(self) -> list[str]:
        """Sentences below the statistics: on what they rest, and what makes them doubtful."""
        is_labeled = self.table["label"] >= 0
        labeled = int(is_labeled.sum())
        unlabeled = len(self) - labeled
        correct = int(self.table["correct"][is_labeled].sum())
        if labeled == 0:
            notes = [f"medians and means over all {len(self)} samples, which have no labels"]
        elif correct + unlabeled == 0:
            notes = [f"none of the {len(self)} samples is classified correctly, so there are no medians over these"]
        else:
            others = f" labeled samples, and the {unlabeled} unlabeled ones" if unlabeled else " samples"
            notes = [f"medians and means over the {correct} correctly classified of {labeled}{others}"]
        return notes + cautions(self.statistics)

    @property
    def _levels(self) -> int | None:
        """255, the levels of a pixel, for samples of the shape of images with values from 0 to 1."""
        is_image = self.x.dim() == IMAGE_BATCH_DIMS and self.bounds is not None and self.bounds.range == (0.0, 1.0)
        return PIXEL_LEVELS if is_image else None

    @property
    def _statistic_units(self) -> dict[str, str]:
        units = aggregate_units(self.statistics, self.units | SUMMARY_UNITS)
        return units | ({"margin_misclassified": self.units["margin"]} if "margin" in self.units else {})

    def plot(self, names: Sequence[str] | None = None) -> "NotebookFigure":
        """Draw the cumulative distributions of the distances, each beside its null (dashed).

        Args:
            names: the columns; None takes all distances, one panel for each unit.

        Returns:
            A matplotlib figure, which a notebook shows; `figure.savefig("margins.pdf")` writes it.

        Raises:
            UsageError: if a column is missing, or no probe measures a distance.
        """
        from dimple.views.charts.notebook_figure import draw_distributions

        for name in names or ():
            self[name]
        return draw_distributions(self.to_arrays(), self.units, names)

    def save(self, path: Path | str) -> Path:
        """Write everything into one file, a safetensors file without pickles, and return its path.

        Raises:
            RunError: if the file cannot be written.
        """
        tensors = {f"table/{name}": values for name, values in self.table.items()}
        tensors |= {f"details/{name}": values for name, values in self.details.items()} | {
            "x": self.x,
            "index": self.index,
        }
        about = self.to_dict() | {"format": FORMAT, "order": list(self.table)}
        del about["columns"], about["statistics"]
        contiguous = {name: values.cpu().contiguous() for name, values in tensors.items()}
        path = expand_home(path)
        write_bytes(path, save_tensors(contiguous, {"measurement": json.dumps(about)}))
        return path

    @classmethod
    def load(cls, path: Path | str) -> "Measurement":
        """Return the measurement in a file of `save`.

        Raises:
            RunError: if the file is missing, damaged or of another kind.
        """
        try:
            with safe_open(expand_home(path), "pt") as file:
                about = json.loads((file.metadata() or {})["measurement"])
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            bounds = about["bounds"]
            return cls(
                {name: tensors[f"table/{name}"] for name in about["order"]},
                about["units"],
                {name.removeprefix("details/"): tensors[name] for name in tensors if name.startswith("details/")},
                tensors["x"],
                None if bounds is None else Box(*bounds),
                {name: Cost(**cost) for name, cost in about["costs"].items()},
                tensors["index"],
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            way_out = (
                "a run folder is opened by dimple.Run.open" if Path(path).is_dir() else "save the measurement again"
            )
            raise RunError(f"{path}: is not a file of Measurement.save ({error}); {way_out}") from None

    def __repr__(self) -> str:
        return f"<Measurement: {self.heading}; columns {', '.join(self.columns)}>"

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from dimple.views.report.notebook import statistics_html

        return statistics_html(self.heading, self.statistics, self._statistic_units, notes=self._notes)


@final
class SummaryText(str):
    r"""A text of several lines that a notebook and an interactive Python show as such.

    Example:
        >>> SummaryText("a  1\nb  2")
        a  1
        b  2
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _shorten(values: Tensor, count: int = 4) -> str:
    shown = ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values[:count].tolist())
    return f"[{shown}{', ...' if len(values) > count else ''}]"
