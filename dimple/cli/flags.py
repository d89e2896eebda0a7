"""Arguments and options of several commands, and configurations whose errors name the flag."""

import re
from typing import Annotated, Any, TypeVar

import typer

from dimple.errors import UsageError

T = TypeVar("T")
# The length of the longest range of rows.
MAX_ROWS = 1_000_000

SceneArgument = Annotated[str, typer.Argument(metavar="SCENE", help="Scene file, or the name of a built-in scene.")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Setting of the scene to change; repeatable."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Model: resnet20, mnist_convnet, ... or package.module:factory for your own.  [default: digits_convnet]",
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(metavar="RUN", help="Simulated run to measure instead of a model and data, with all its snapshots."),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights file, safetensors or torch; none for a network as its code builds it.",
    ),
]
FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="Weights files of one network, or a folder of them, as --checkpoints."),
]
CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT", help="Pattern of weights files, in quotes: 'epochs/*.pt', or their folder; repeatable."
    ),
]
StateDictKeyOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Key of the state dict, where a file holds several.")
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="Mean of the normalization the network was trained with, as 0.49,0.48,0.45, for images from 0 to 1.",
    ),
]
StdOption = Annotated[
    str | None, typer.Option(metavar="NUMBERS", help="Standard deviation of that normalization, as 0.25,0.24,0.26.")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Data set: digits, cifar10:PATH, mnist:DIR, folder:DIR or npz:FILE.  [default: digits]"
    ),
]
SceneDataOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME:PATH", help="Data set of the scene, such as mnist:DIR.  [default: in $DIMPLE_DATA or the cache]"
    ),
]
DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="Device: auto, cpu, cuda, cuda:INDEX or mps.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Permission to replace a run that is already in the folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Results as one line of JSON on stdout.")]


def build_config(config_type: type[T], **settings: Any) -> T:
    """Build a configuration from the settings that are not None; the others keep their default value.

    Raises:
        UsageError: if a value breaks its rule; the message names the flag.
    """
    from dimple.experiment.probing.config import MODEL_FIELDS, reject_model_fields
    from dimple.settings import SettingError

    given = {name: value for name, value in settings.items() if value is not None}
    if "run" in given:
        # The configuration cannot tell a default value that was typed from one that was not.
        reject_model_fields(name for name in MODEL_FIELDS if name in given)
    try:
        return config_type(**given)
    except SettingError as error:
        raise UsageError(f"--{error.field.replace('_', '-')} {error.problem}") from None


def join_patterns(*given: list[str] | None) -> str | tuple[str, ...] | None:
    """Return one pattern of checkpoints, several as a tuple, or None.

    Example:
        >>> join_patterns(["a/*.pt"], None), join_patterns(None, ["a.pt", "b.pt"]), join_patterns(None, None)
        ('a/*.pt', ('a.pt', 'b.pt'), None)
    """
    patterns = tuple(pattern for patterns in given for pattern in patterns or ())
    return patterns if len(patterns) > 1 else (patterns[0] if patterns else None)


def parse_numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers in a list such as `0.49,0.48,0.45`.

    Raises:
        UsageError: if the text is no such list; it names the flag.

    Example:
        >>> parse_numbers("--mean", "0.49, 0.48")
        (0.49, 0.48)
    """
    if text is None:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"{flag} is {text!r}; write numbers with commas between them, such as 0.49,0.48,0.45"
        ) from None


def parse_rows(flag: str, text: str) -> tuple[int, ...]:
    """Return the numbers in a list such as `3,17,40-42`.

    Raises:
        UsageError: if the text is no such list; it names the flag.

    Example:
        >>> parse_rows("--indices", "3,17,40-42")
        (3, 17, 40, 41, 42)
    """
    if not re.fullmatch(r"\s*\d+(\s*-\s*\d+)?\s*(,\s*\d+(\s*-\s*\d+)?\s*)*", text):
        raise UsageError(f"{flag} is {text!r}; write numbers and ranges with commas between them, such as 3,17,40-42")
    ends = [tuple(int(end) for end in part.split("-")) for part in text.split(",")]
    if any(end[-1] - end[0] >= MAX_ROWS for end in ends):
        raise UsageError(f"{flag} names more than {MAX_ROWS} samples; use --samples or --per-class")
    return tuple(row for end in ends for row in range(end[0], end[-1] + 1))
