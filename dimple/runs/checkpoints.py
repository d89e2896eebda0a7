"""Somebody else's checkpoint files seen as a trajectory, like the snapshots of a run."""

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, final

from torch import nn

from dimple.errors import ModelError
from dimple.networks.wrappers import frozen
from dimple.networks.load import build_model
from dimple.networks.weights import load_weights

# A number that a letter follows, as in a hash or `best3x`, counts nothing, nor does one with decimals, as an accuracy.
_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)\d+(?!\.?\d)(?![A-Za-z])")


@final
class Checkpoints:
    """A `Trajectory` over weights files in their natural order, file2 before file10; each is read when it is its turn.

    The step of a file is the last whole number in its name. Where a name has none, or the numbers do not rise from file
    to file, the steps are 0, 1, 2, ...

    Args:
        paths: weights files of one network, in any order.
        model: the network's name, as for `dimple.networks.load.build_model`, or an `nn.Module` of its kind, which
            stays as it is.
        key: which state dict, where the files hold several.

    Raises:
        ModelError: if there is no file, or one does not exist.
        UsageError: if nothing has the model's name.
    """

    def __init__(self, paths: Sequence[Path | str], model: str | nn.Module, key: str | None = None) -> None:
        self.paths = sorted((Path(path) for path in paths), key=natural)
        if not self.paths:
            raise ModelError("there are no checkpoint files to read; name at least one")
        for path in self.paths:
            if not path.is_file():
                raise ModelError(f"{path}: no such checkpoint file; check the name")
        self.steps = _steps(self.paths)
        self._network = frozen(build_model(model) if isinstance(model, str) else model)
        self._key = key

    @classmethod
    def glob(cls, pattern: str, model: str | nn.Module, key: str | None = None) -> Self:
        """The files that match a shell pattern; `**` stands for any folders.

        Raises:
            ModelError: if no file matches.
        """
        found = glob.glob(pattern, recursive=True)  # noqa: PTH207 (Path.glob takes no pattern that begins at the root)
        paths = [path for path in found if Path(path).is_file()]
        if not paths:
            raise ModelError(f"no file matches the pattern {pattern!r}; check it, and put it in quotes for the shell")
        return cls(paths, model, key)

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.paths)

    def __iter__(self) -> Iterator[tuple[int, nn.Module]]:
        """Each file's step, and the network with its weights, frozen.

        Raises:
            ModelError: at a file that is unsafe, damaged or made for another network.
        """
        for step, path in zip(self.steps, self.paths, strict=True):
            network = frozen(self._network)
            load_weights(network, path, self._key)
            yield step, network


def natural(path: Path) -> list[tuple[int, str]]:
    """A sorting key by which the numbers in a name count as numbers.

    Example:
        >>> [path.name for path in sorted([Path("file10.pt"), Path("file2.pt")], key=natural)]
        ['file2.pt', 'file10.pt']
    """
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]


def _steps(paths: Sequence[Path]) -> list[int]:
    numbers = [_NUMBER.findall(path.stem) for path in paths]
    steps = [int(found[-1]) for found in numbers if found]
    rising = all(earlier < later for earlier, later in itertools.pairwise(steps))
    return steps if rising and len(steps) == len(paths) else list(range(len(paths)))
