"""The reference of the public names, from their docstrings: one page for the package and one for each of its stages."""

import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any, final

import dimple
from dimple import settings
from dimple.errors import RunError

# What a user imports from, besides the package itself.
STAGES = (
    "manifolds", "data", "networks", "training", "boundary", "probes", "runs", "scene", "experiment",
    "tensors", "protocols", "errors",
)  # fmt: skip
# Left out of annotations, where the last word says enough; and what numpy's own short name stands for.
HOMES = re.compile(
    r"\b(typing\.|torch\.nn\.modules\.\w+\.|torch\.(_C\.)?(?=Tensor|Generator)|collections\.abc\.|pathlib\.)"
)
ARRAY = re.compile(r"numpy\.ndarray\[tuple\[Any, \.\.\.\], numpy\.dtype\[(?:numpy\.)?(\w+)\]\]")
TEMPLATES = Path(__file__).parents[1] / "templates" / "reference"


def write_reference(folder: Path) -> None:
    """Write the pages, with a search over all of them, into a folder that exists.

    Raises:
        RunError: if they cannot be written.
    """
    import pdoc.render
    import pdoc.render_helpers

    modules = ["dimple", *(f"dimple.{stage}" for stage in STAGES)]
    for module in modules:
        importlib.import_module(module)
    # The package imports its names on first use, and pdoc looks only at those that are there.
    for name in dimple.__all__:
        getattr(dimple, name)
    pdoc.render.configure(
        docformat="google",
        show_source=False,
        footer_text=f"dimple {dimple.__version__}",
        template_directory=TEMPLATES,
    )
    pdoc.render.env.filters["format_signature"] = lambda signature, colon: pdoc.render_helpers.format_signature(
        readable(signature), colon
    )
    try:
        # A function that is named as its module is would bring that module along.
        pdoc.pdoc(*modules, r"!dimple\.\w+\.", output_directory=folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); free space or choose another place") from None


@final
class _Words:
    """An annotation as it shall be read."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def readable(signature: inspect.Signature) -> inspect.Signature:
    """A signature whose annotations have the short names that the code gives them.

    Example:
        >>> def scaled(by: settings.Positive | None = None) -> None: ...
        >>> readable(inspect.signature(scaled))
        <Signature (by: Optional[Positive] = None) -> None>
    """
    parameters = [p.replace(annotation=_shortened(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=_shortened(signature.return_annotation))


def _shortened(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    rules = {name: rule for name, rule in vars(settings).items() if typing.get_origin(rule) is typing.Annotated}
    text = _text(annotation)
    # The longest first, since one rule's text may begin another's.
    for name, rule in sorted(rules.items(), key=lambda item: -len(_text(item[1]))):
        text = text.replace(_text(rule), name)
    return _Words(text)


def _text(annotation: Any) -> str:
    text = HOMES.sub("", inspect.formatannotation(annotation))
    return ARRAY.sub(r"NDArray[\1]", text)
