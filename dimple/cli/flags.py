"""Arguments and options that several commands have, and requests whose mistakes are named by their flags."""

from typing import Annotated, Any, TypeVar

import typer

from dimple.errors import UsageError

T = TypeVar("T")

Named = Annotated[str, typer.Argument(help="A scene file, or the name of a scene that ships.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Change one setting; repeatable.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="resnet20, mnist_convnet, ... or package.module:factory for your own.  [default: digits_convnet]"
    ),
]
Simulated = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Instead of a model and data: every snapshot of a simulated run.")
]
Weights = Annotated[str | None, typer.Option(help="The weights file: safetensors, or torch without code.")]
StateKey = Annotated[str | None, typer.Option(help="Which state dict, where a file holds several.")]
Data = Annotated[
    str | None, typer.Option(help="digits, cifar10:PATH, mnist:DIR, folder:DIR or npz:FILE.  [default: digits]")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:INDEX or mps.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a run that is already there.")]
AsJson = Annotated[bool, typer.Option("--json", help="One line of JSON on stdout.")]


def request_of(kind: type[T], **settings: Any) -> T:
    """The request of a kind with these settings; None stands for what was not said.

    Raises:
        UsageError: naming the flag whose value breaks its rule.
    """
    from dimple.experiment.probing.config import OF_MODELS, require_none_beside_run
    from dimple.settings import SettingError

    said = {name: value for name, value in settings.items() if value is not None}
    if "run" in said:
        # The request itself cannot tell a default that was typed from one that was not.
        require_none_beside_run(name for name in OF_MODELS if name in said)
    try:
        return kind(**said)
    except SettingError as error:
        raise UsageError(f"--{error.field.replace('_', '-')} {error.problem}") from None
