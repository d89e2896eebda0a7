"""A probe from one function of boundary, samples and labels."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from dimple.boundary.boundary import Boundary
from dimple.columns import OWN_COLUMNS
from dimple.errors import ModelError, describe_cause
from dimple.probes.base import Probe, ProbeResult
from dimple.protocols import TangentField
from dimple.settings import settings_from_function


def function_probe(
    unit: str | Mapping[str, str], *, needs_gradient: bool = True
) -> Callable[[Callable[..., Any]], type[Probe]]:
    """Make a class of probes from a function of `(boundary, x, y)` that returns one value a sample.

    The function gets a batch of samples `(B, *shape)` with the labels `(B,)`; `boundary` has scores, logit margins,
    gradients and searches, and counts what it is asked. It returns a tensor `(B,)`, the column of the name of the
    function, or several by name. One with an argument `tangents` gets the tangent field. Further arguments become
    fields of the class, and so keys of a scene file; they have annotations and defaults. The first paragraph of its
    documentation is the meaning of its columns on pages and in `dimple explain`.

    Args:
        unit: of the column, or of each by its name: in words, "score", or "l2, input units" for a distance.
        needs_gradient: whether the function asks for gradients of the scores.

    Raises:
        ModelError: when it measures, if the function fails, or returns something else than a value a sample.

    Example:
        >>> import torch
        >>> @function_probe("l2, input units")
        ... def linear_margin(boundary, x, y):
        ...     margin, gradient = boundary.logit_margin_and_gradient(x, y)
        ...     return margin / gradient.flatten(1).norm(dim=1)
        >>> half_space = Boundary(lambda x: torch.stack([-2 * x[:, 0], 0 * x[:, 0]], dim=1))
        >>> linear_margin()(half_space, torch.tensor([[-3.0, 1.0]]), torch.tensor([0])).columns["linear_margin"]
        tensor([3.])
    """

    def decorate(function: Callable[..., Any]) -> type[Probe]:
        has_tangents = "tangents" in inspect.signature(function).parameters
        units = {function.__name__: unit} if isinstance(unit, str) else dict(unit)
        if sentence := (inspect.getdoc(function) or "").partition("\n\n")[0]:
            OWN_COLUMNS.update(dict.fromkeys(units, " ".join(sentence.split())))

        def run(self: Any, boundary: Boundary, x: Tensor, y: Tensor, tangents: TangentField | None) -> ProbeResult:
            given = {name: getattr(self, name) for name in fields} | ({"tangents": tangents} if has_tangents else {})
            try:
                found = function(boundary, x, y, **given)
            except Exception as error:
                raise ModelError(f"{function.__name__}: the probe fails: {describe_cause(error)}") from error
            columns = {function.__name__: found} if isinstance(found, Tensor) else found
            _require_columns(function.__name__, columns, units, len(x))
            return ProbeResult({name: values.detach() for name, values in columns.items()}, units)

        body = {
            "needs_tangents": has_tangents,
            "needs_gradient": property(lambda _: needs_gradient),
            "run": run,
        }
        cls, fields = settings_from_function(function, 3, Probe, body, leave_out=("tangents",))
        own: type[Probe] = cls
        return own

    return decorate


def _require_columns(name: str, columns: Any, units: Mapping[str, str], count: int) -> None:
    if not isinstance(columns, dict) or columns.keys() != units.keys():
        found = ", ".join(columns) if isinstance(columns, dict) else type(columns).__name__
        raise ModelError(
            f"{name}: the probe returns {found}; it has units for {', '.join(units)}: return these columns"
        )
    for column, values in columns.items():
        if not isinstance(values, Tensor) or values.shape != (count,):
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ModelError(f"{name}: column {column} is {shape} for {count} samples; return one value a sample, (B,)")
