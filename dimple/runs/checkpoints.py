"""A series of checkpoint files as a trajectory, like the snapshots of a run."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, final

from torch import nn

from dimple.errors import ModelError
from dimple.locations import list_weights
from dimple.networks.load import build_model
from dimple.networks.weights import load_weights
from dimple.networks.wrappers import freeze
from dimple.settings import expand_home

# A whole number in a file name; not a number before a letter, as in a hash, and not one with decimals, such as 0.85.
_STEP_NUMBER_PATTERN = re.compile(r"(?<!\d)(?<!\d\.)\d+(?!\.?\d)(?![A-Za-z])")


@final
class Checkpoints:
    """A `Trajectory` over weights files in natural order, file2 before file10; the iteration reads one at a time.

    The step of a file is the last whole number in its name. If a name has no number, or if the numbers do not increase
    from file to file, the steps are 0, 1, 2, ...

    Args:
        paths: weights files of one network, in any order.
        model: the name of the network, as for `dimple.networks.build_model`, or an `nn.Module` of the same
            architecture, which is not changed.
        state_dict_key: the key of the state dict, if the files hold several.

    Raises:
        ModelError: if `paths` is empty, or a file does not exist.
        UsageError: if the name of the network is unknown.
    """

    def __init__(self, paths: Sequence[Path | str], model: str | nn.Module, state_dict_key: str | None = None) -> None:
        self.paths = sorted((expand_home(path) for path in paths), key=natural_sort_key)
        if not self.paths:
            raise ModelError("there are no checkpoint files to read; name at least one")
        for path in self.paths:
            if not path.is_file():
                raise ModelError(f"{path}: no such checkpoint file; check the name")
        self.steps = _infer_steps(self.paths)
        self._network = freeze(build_model(model) if isinstance(model, str) else model)
        self._state_dict_key = state_dict_key

    @classmethod
    def from_glob(
        cls, patterns: str | Sequence[str], model: str | nn.Module, state_dict_key: str | None = None
    ) -> Self:
        """Return the checkpoints whose files match a shell pattern, or any of several; `**` matches any folders.

        A folder stands for the weights files in it.

        Raises:
            ModelError: if no file matches one of the patterns.
        """
        return cls(list_weights(patterns), model, state_dict_key)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        """Yield the step of each file and the network with its weights, frozen.

        Raises:
            ModelError: at a file that is unsafe, damaged or written for another network.
        """
        return ((step, self.network(step)) for step in self.steps)

    def network(self, step: int) -> nn.Module:
        """Return the network with the weights of one step, frozen.

        Raises:
            ModelError: if the file is unsafe, damaged or written for another network.
        """
        network = freeze(self._network)
        load_weights(network, self.paths[self.steps.index(step)], self._state_dict_key)
        return network


def natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """Return a sorting key that compares the numbers in a path as numbers.

    Example:
        >>> [path.name for path in sorted([Path("file10.pt"), Path("file2.pt")], key=natural_sort_key)]
        ['file2.pt', 'file10.pt']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]


def _infer_steps(paths: Sequence[Path]) -> list[int]:
    numbers = [_STEP_NUMBER_PATTERN.findall(path.stem) for path in paths]
    steps = [int(matches[-1]) for matches in numbers if matches]
    # Larger numbers are time stamps or hashes, which a table cannot hold.
    is_increasing = all(step < 2**63 for step in steps) and all(
        earlier < later for earlier, later in itertools.pairwise(steps)
    )
    return steps if is_increasing and len(steps) == len(paths) else list(range(len(paths)))
