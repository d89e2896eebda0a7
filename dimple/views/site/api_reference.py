"""Reference of the public names from their docstrings: one page for the package and one for each public folder."""

import importlib
import inspect
import re
import typing
from pathlib import Path
from typing import Any, final

import dimple
from dimple import settings
from dimple.errors import RunError

# The folders and modules of public names, besides the package itself.
PUBLIC_MODULES = (
    "manifolds", "data", "networks", "training", "boundary", "levelsets", "tangents", "stats", "probes", "runs",
    "scene", "experiment", "tensors", "protocols", "errors",
)  # fmt: skip
# Prefixes left out of annotations, and the expansion of numpy's short name.
MODULE_PREFIX_PATTERN = re.compile(
    r"\b(typing\.|torch\.nn\.modules\.\w+\.|torch\.(_C\.)?(?=Tensor|Generator)|collections\.abc\.|pathlib\.)"
)
NDARRAY_PATTERN = re.compile(r"numpy\.ndarray\[tuple\[Any, \.\.\.\], numpy\.dtype\[(?:numpy\.)?(\w+)\]\]")
TEMPLATE_FOLDER = Path(__file__).parents[1] / "templates" / "reference"


def write_api_reference(folder: Path) -> None:
    """Write the pages, with a search over all of them, into an existing folder.

    Raises:
        RunError: if the pages cannot be written.
    """
    import pdoc.render
    import pdoc.render_helpers

    modules = ["dimple", *(f"dimple.{name}" for name in PUBLIC_MODULES)]
    for module in modules:
        importlib.import_module(module)
    # The package imports its names on first use, and pdoc documents only names that are imported.
    for name in dimple.__all__:
        getattr(dimple, name)
    pdoc.render.configure(
        docformat="google",
        show_source=False,
        footer_text=f"dimple {dimple.__version__}",
        template_directory=TEMPLATE_FOLDER,
    )
    pdoc.render.env.filters["format_signature"] = lambda signature, colon: pdoc.render_helpers.format_signature(
        shorten_signature(signature), colon
    )
    try:
        # The last pattern excludes the modules inside the packages; pdoc would add those whose name is that of a public
        # function, such as `dimple.probes.spectra`.
        pdoc.pdoc(*modules, r"!dimple\.\w+\.", output_directory=folder)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); free space or choose another place") from None


@final
class _AnnotationText:
    """The text of an annotation, printed without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def shorten_signature(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature whose annotations have the short names of the code.

    Example:
        >>> def scaled(by: settings.Positive | None = None) -> None: ...
        >>> shorten_signature(inspect.signature(scaled))
        <Signature (by: Optional[Positive] = None) -> None>
    """
    parameters = [p.replace(annotation=_shorten_annotation(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=_shorten_annotation(signature.return_annotation))


def _shorten_annotation(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    rules = {name: rule for name, rule in vars(settings).items() if typing.get_origin(rule) is typing.Annotated}
    text = _annotation_text(annotation)
    # The longest first, because the text of one rule may begin with another.
    for name, rule in sorted(rules.items(), key=lambda item: -len(_annotation_text(item[1]))):
        text = text.replace(_annotation_text(rule), name)
    return _AnnotationText(text)


def _annotation_text(annotation: Any) -> str:
    text = MODULE_PREFIX_PATTERN.sub("", inspect.formatannotation(annotation))
    return NDARRAY_PATTERN.sub(r"NDArray[\1]", text)
