"""A series of checkpoint files as a trajectory, like the snapshots of a run."""

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, final

from torch import nn

from dimple.errors import ModelError, warn
from dimple.locations import list_weights
from dimple.networks.load import build_model
from dimple.networks.weights import load_weights
from dimple.networks.wrappers import freeze
from dimple.settings import expand_home

# A whole number in a file name; not a number before a letter, as in a hash, and not one with decimals, such as 0.85.
_NUMBER = r"(?<!\d)(?<!\d\.)(\d+)(?!\.?\d)(?![A-Za-z])"
# A number after a word for steps, one after a word for epochs, and any one, in the order in which they are looked for.
_WORD_PATTERNS = tuple(
    re.compile(rf"(?<![A-Za-z])(?:{words})[=_\- .]?{_NUMBER}", re.IGNORECASE)
    for words in ("global[_-]?step|steps?|iter(?:ation)?s?|it|updates?|batch(?:es)?", "epochs?|ep|e")
)
_STEP_PATTERNS = (*_WORD_PATTERNS, re.compile(_NUMBER))
# Larger numbers are time stamps or hashes, which a table cannot hold.
_MAX_STEP = 2**63 - 1
# The version that Lightning adds to a name that is taken.
_VERSION_PATTERN = re.compile(r"-v\d+$")
# A part of the weights of one network, such as model-00001-of-00005.safetensors.
_PART_PATTERN = re.compile(r"-\d{5}-of-\d{5}$")


@final
class Checkpoints:
    """A `Trajectory` over weights files in natural order, file2 before file10; the iteration reads one at a time.

    The step of a file is the number after a word such as `step` or `iter` in its name, or else after `epoch`, or else
    the last whole number; a name without one has that of its folder, `checkpoint-500/model.safetensors`. All files take
    the same of these. Files without a number beside those with one, such as `last.ckpt`, are left out. If none has one,
    or the numbers do not increase from file to file, the steps count from 0. Both give a warning.

    Attributes:
        paths: the files, in the order of their steps.
        steps: their steps.
        note: the sentence of the warning, or "".

    Args:
        paths: weights files of one network, in any order.
        model: the name of the network, as for `dimple.networks.build_model`, or an `nn.Module` of the same
            architecture, which is not changed.
        state_dict_key: the key of the state dict, if the files hold several.

    Raises:
        ModelError: if `paths` is empty, a file does not exist, or two files are of the same step or epoch.
        UsageError: if the name of the network is unknown.
    """

    def __init__(self, paths: Sequence[Path | str], model: str | nn.Module, state_dict_key: str | None = None) -> None:
        found = sorted((expand_home(path) for path in paths), key=natural_sort_key)
        if not found:
            raise ModelError("there are no checkpoint files to read; name at least one")
        for path in found:
            if not path.is_file():
                raise ModelError(f"{path}: no such checkpoint file; check the name")
            if _PART_PATTERN.search(path.stem):
                raise ModelError(f"{path}: is a part of the weights of one network; save them as one file")
        by_path, self.note = _infer_steps(found)
        self.paths = [*by_path]
        self.steps = [*by_path.values()]
        if self.note:
            warn(self.note)
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

    @functools.cached_property
    def state_dict(self) -> str:
        """The place of the weights in the first file; "" for a file that is a state dict itself."""
        return load_weights(freeze(self._network), self.paths[0], self._state_dict_key)

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


def _infer_steps(paths: Sequence[Path]) -> tuple[dict[Path, int], str]:
    """Return the step of each file that has one, and a note on files that were left out or counted.

    Raises:
        ModelError: if two files have the same number after a word for steps or epochs, and no other one.
    """
    stems = [_VERSION_PATTERN.sub("", path.name.partition(".tar")[0].removesuffix(path.suffix)) for path in paths]
    candidates = [
        _numbers(paths, names, pattern)
        for names in (stems, [path.parent.name for path in paths])
        for pattern in _STEP_PATTERNS
    ]
    # One number beside files without may be that of a size, such as resnet20, or of a hash.
    series = [steps for steps in candidates if len(steps) >= min(len(paths), 2)]
    increasing = [steps for steps in series if _is_increasing([*steps.values()])]
    if increasing:
        # Those of most files, and of these the first.
        steps = max(increasing, key=len)
        left_out = [str(path) for path in paths if path not in steps]
        note = f"left out of the series, as their names have no number of a step: {', '.join(left_out)}"
        return steps, note if left_out else ""
    for steps in (_numbers(paths, stems, pattern) for pattern in _WORD_PATTERNS):
        of_step: dict[int, Path] = {}
        for path, step in steps.items():
            other = of_step.setdefault(step, path)
            if other is not path:
                raise ModelError(f"{other} and {path}: have the same number, {step}; name the files of one series")
    return {path: step for step, path in enumerate(paths)}, (
        f"the steps of {paths[0]} to {paths[-1]} count from 0 in the order of the names, which have no numbers that "
        "increase"
    )


def _numbers(paths: Sequence[Path], names: Sequence[str], pattern: re.Pattern[str]) -> dict[Path, int]:
    """Return the last number that follows a pattern in the name of each path which has one."""
    found = zip(paths, map(pattern.findall, names), strict=True)
    return {path: int(numbers[-1]) for path, numbers in found if numbers}


def _is_increasing(steps: Sequence[int]) -> bool:
    return max(steps) <= _MAX_STEP and all(earlier < later for earlier, later in itertools.pairwise(steps))
