"""Arguments and options of several commands, and configurations whose errors name the flag."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

import typer

from dimple.errors import Mistakes, UsageError
from dimple.names import MODELS, SIZED_ARCHITECTURES

if TYPE_CHECKING:
    from dimple.experiment.probing.config import ProbeConfig

# The length of the longest range of rows.
MAX_ROWS = 1_000_000

SceneArgument = Annotated[str, typer.Argument(metavar="SCENE", help="Scene file, or the name of a built-in scene.")]
OverridesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help="Setting of the scene to change; repeatable.  [default: none]"
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"Model: {', '.join(MODELS)}; {', '.join(SIZED_ARCHITECTURES)} with sizes from the file; your own as "
        "file.py:OBJECT, package.module:OBJECT or file.py:OBJECT(3, width=64); timm:NAME, torchvision:NAME, "
        "hf:OWNER/NAME, robustbench:NAME.  [default: digits_convnet]",
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Simulated run to measure instead of a model and data, with all its snapshots.  [default: none]",
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights file, safetensors or torch, or hf:OWNER/NAME; none for a network as its code builds it.  "
        "[default: those of the digits network, trained on the digits; those that come with hf: and robustbench:, or "
        "that dimple fetch got; other models need a file]",
    ),
]
FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE]...", help="Weights files of one network, or a folder of them, as --checkpoints."),
]
CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Pattern of weights files, in quotes: 'epochs/*.pt', or their folder; repeatable.  [default: none]",
    ),
]
StateDictKeyOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Key of the state dict, where a file holds several.  [default: the only one]"),
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="Mean of the normalization the network was trained with, as 0.49,0.48,0.45, for images from 0 to 1.  "
        "[default: none]",
    ),
]
StdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS", help="Standard deviation of that normalization, as 0.25,0.24,0.26.  [default: none]"
    ),
]
ChannelsOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Order in which the network takes the channels: rgb or bgr.  [default: rgb]"),
]
LogitsOption = Annotated[
    bool, typer.Option("--logits", help="The model returns logits.  [default: seen from its scores]")
]
ProbabilitiesOption = Annotated[
    bool,
    typer.Option(
        "--probabilities", help="The model returns probabilities, one for class 1 or one a class.  [default: no]"
    ),
]
LogProbabilitiesOption = Annotated[
    bool, typer.Option("--log-probabilities", help="The model returns logarithms of probabilities.  [default: no]")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Data set: digits, cifar10:PATH, mnist:DIR, folder:DIR, npz:FILE, points:FILE (.csv, .tsv, .parquet) or "
        "hf:OWNER/NAME; cifar10, mnist and fashion_mnist alone after dimple fetch.  [default: digits]",
    ),
]
LabelOption = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of the labels in points:FILE.  [default: label, class, target or y]"),
]
BoundsOption = Annotated[
    str,
    typer.Option(
        metavar="LOW,HIGH",
        help="Range of the inputs to which distances are measured, as -1,1; data for 0 to 1 of images and any point of "
        "tables; none for any input.",
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


class NetworkConfig(Protocol):
    """Settings of a command that measures a network."""

    @property
    def default_out(self) -> Path: ...

    @property
    def probe_config(self) -> "ProbeConfig": ...


ConfigT = TypeVar("ConfigT", bound=NetworkConfig)


def read_config(
    config_type: type[ConfigT],
    out: Path | None,
    device: str,
    force: bool,
    lists: Mapping[str, tuple[Callable[[str, str], object], str | None]],
    **settings: Any,
) -> tuple[ConfigT, Path]:
    """Return a configuration from the settings that are not None, and the folder of the run.

    Args:
        config_type: the class; settings that are None keep their default value.
        out: the folder; None for that of the configuration.
        device, force: of the command.
        lists: the settings that are written as lists, each with its reader and its text.
        settings: the other settings.

    Raises:
        DimpleError: with one sentence for each mistake: a value that breaks its rule, settings that contradict each
            other, and names of networks, data, files and folders that are not there.
    """
    from dimple.experiment.probing.check_inputs import check_inputs
    from dimple.experiment.probing.config import model_field_problems
    from dimple.names import MODEL_FIELDS
    from dimple.settings import field_types, validate_field

    mistakes = Mistakes()
    given = {name: value for name, value in settings.items() if value is not None}
    for name, (read, text) in lists.items():
        if text is not None:
            with mistakes.collect():
                given[name] = read(f"--{name}", text)
    # The configuration cannot tell a default value that was typed from one that was not.
    if "run" in given and (problems := [*model_field_problems(name for name in MODEL_FIELDS if name in given)]):
        raise UsageError(*problems)
    valid = {}
    for name, value in given.items():
        with mistakes.collect(), _name_flag():
            valid[name] = validate_field("", name, field_types(config_type)[name], value)
    config = None
    folder = Path()
    with mistakes.collect(), _name_flag():
        config = config_type(**valid)
        folder = config.default_out if out is None else out
        check_inputs(config.probe_config, folder, device, force)
    mistakes.raise_all()
    assert config is not None
    return config, folder


def require_runs(*paths: Path | None) -> None:
    """Refuse paths where no run is, all of them at once, before torch is loaded.

    Raises:
        RunError: with one sentence for each.
    """
    from dimple.locations import require_run

    mistakes = Mistakes()
    for path in paths:
        if path is not None:
            with mistakes.collect():
                require_run(path)
    mistakes.raise_all()


@contextlib.contextmanager
def _name_flag() -> Iterator[None]:
    """Name the flag in the error of a setting."""
    from dimple.settings import SettingError

    try:
        yield
    except SettingError as error:
        name = {"probes": "probe"}.get(error.field, error.field)
        raise UsageError(f"--{name.replace('_', '-')} {error.problem}") from None


def join_patterns(*given: list[str] | None) -> str | tuple[str, ...] | None:
    """Return one pattern of checkpoints, several as a tuple, or None.

    Example:
        >>> join_patterns(["a/*.pt"], None), join_patterns(None, ["a.pt", "b.pt"]), join_patterns(None, None)
        ('a/*.pt', ('a.pt', 'b.pt'), None)
    """
    patterns = tuple(pattern for patterns in given for pattern in patterns or ())
    return patterns if len(patterns) > 1 else (patterns[0] if patterns else None)


def parse_numbers(flag: str, text: str) -> tuple[float, ...]:
    """Return the numbers in a list such as `0.49,0.48,0.45`.

    Raises:
        UsageError: if the text is no such list; it names the flag.

    Example:
        >>> parse_numbers("--mean", "0.49, 0.48")
        (0.49, 0.48)
    """
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"{flag} is {text!r}; write numbers with commas between them, such as 0.49,0.48,0.45"
        ) from None


def parse_bounds(flag: str, text: str) -> str | tuple[float, ...]:
    """Return `data`, `none`, or two numbers.

    Raises:
        UsageError: if the text is none of these; it names the flag.

    Example:
        >>> parse_bounds("--bounds", "-1,1"), parse_bounds("--bounds", "none")
        ((-1.0, 1.0), 'none')
    """
    if text in ("data", "none"):
        return text
    numbers = parse_numbers(flag, text) if re.match(r"[-+.\d]", text) else ()
    if len(numbers) != 2:
        raise UsageError(f"{flag} is {text!r}; write two numbers such as 0,1 or -1,1, or data, or none")
    return numbers


def choose_scores(logits: bool, probabilities: bool, log_probabilities: bool) -> str | None:
    """Return what the model returns, as the one flag of three says; None without one.

    Raises:
        UsageError: for several flags.
    """
    given = {"logits": logits, "probabilities": probabilities, "log_probabilities": log_probabilities}
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        raise UsageError("--logits, --probabilities and --log-probabilities exclude each other; give one")
    return named[0] if named else None


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


def parse_words(_flag: str, text: str) -> tuple[str, ...]:
    """Return the words in a list such as `boundary,tangent`.

    Example:
        >>> parse_words("--through", "boundary, tangent")
        ('boundary', 'tangent')
    """
    return tuple(word.strip() for word in text.split(","))


def parse_shard(text: str, out: Path | None, force: bool) -> tuple[int, int]:
    """Return the number of a part and the number of parts of `--shard I/N`.

    Raises:
        UsageError: if there is no such part, or flags contradict it.

    Example:
        >>> parse_shard("0/4", Path("runs/mine"), False)
        (0, 4)
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise UsageError(f"--shard is {text!r}; write I/N with I from 0 to N-1, such as 0/4")
    if out is None:
        raise UsageError("--shard needs --out, the folder of all parts, on a disk that all machines see")
    if force:
        raise UsageError("--force would remove what other parts have measured; leave it out with --shard")
    return int(found[1]), int(found[2])


def set_one_thread() -> None:
    """Let torch compute in one thread: processes are faster, and numbers then do not depend on the number of cores."""
    import torch

    torch.set_num_threads(1)
