"""The interface of an experiment: settings that, with a seed, give one row of numbers for each of its parts."""

import abc
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias, final

import torch

from dimple.errors import MissingDataError
from dimple.locations import locate_dataset
from dimple.scene import load_scene

Row: TypeAlias = dict[str, float]
CPU = torch.device("cpu")


@final
@dataclasses.dataclass(frozen=True)
class Resources:
    """The means of experiments: the places of the data sets, and the device.

    Args:
        locations: `NAME:PATH` by name of the data set; others are looked for.
        device: where networks are trained and measured.
    """

    locations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    device: torch.device = CPU

    def locate(self, dataset: str) -> str:
        """Return the specification `NAME:PATH` of a data set.

        Raises:
            MissingDataError: if it is not on this machine.
        """
        return locate_dataset(dataset, self.locations.get(dataset))


class Experiment(abc.ABC):
    """An experiment whose replicas differ in the seed alone.

    A member of the family is a settings class of plain fields with `replicate`. It trains and measures; what its
    numbers have to be is said by the leaves of a paper, which name its columns.

    Attributes:
        version: raised with every change of its numbers, so that stored rows of the earlier ones are not used.
        diagram: the columns of a picture of all parts: the horizontal and the vertical axis, the panels, and the
            yes or no whose fraction over the seeds is the color; empty for none.
    """

    version: ClassVar[int] = 1
    diagram: ClassVar[tuple[str, ...]] = ()

    @abc.abstractmethod
    def replicate(self, seed: int, resources: Resources) -> dict[str, Row]:
        """Return the rows of one replica: numbers by column, by part (a scene, a network; "" for the only one).

        All parts have the same columns. A number that does not exist is nan, a distance without a boundary inf.
        """

    @property
    def scenes(self) -> tuple[str, ...]:
        """The built-in scenes that it begins with: the value of its field `scene`, `name` or `names`, if it has one."""
        found = next((getattr(self, field) for field in ("scene", "name", "names") if hasattr(self, field)), ())
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that have to be on this machine: those of its scenes, with the changes in a field `set`."""
        changes = list(getattr(self, "set", ()))
        found = (load_scene(name, changes).data.dataset for name in self.scenes)
        return tuple(dict.fromkeys(dataset for dataset in found if dataset))

    @property
    def description(self) -> dict[str, Any]:
        """The kind and all settings."""
        from dimple.claims.experiments import EXPERIMENTS

        kind = next(name for name, member in EXPERIMENTS.items() if member is type(self))
        return {"kind": kind, **dataclasses.asdict(self)}  # type: ignore[call-overload]

    @property
    def key(self) -> str:
        """The name of its stored rows: its kind, and a hash of its settings and version."""
        text = json.dumps({**self.description, "version": self.version}, sort_keys=True)
        return f"{self.description['kind']}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    def missing(self, resources: Resources) -> str:
        """Return why it cannot be run here, in a few words; "" where it can."""
        for dataset in self.datasets:
            try:
                resources.locate(dataset)
            except MissingDataError:
                return f"needs {dataset}: give --data {dataset}:PATH"
        return ""
