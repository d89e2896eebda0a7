"""Public names of a package that are imported on first use, so that its torch-free modules load without torch."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from dimple.renamed import missing_attribute


def import_on_use(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package; `homes` gives the submodule that defines each public name.

    Names of version 0.1 are answered as by `missing_attribute`.

    Example:
        >>> import_on_use("dimple", {"Box": "tensors"})("Box")
        <class 'dimple.tensors.Box'>
    """
    missing = missing_attribute(module)

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in homes:
            return missing(name)
        value = getattr(importlib.import_module(f"{module}.{homes[name]}"), name)
        setattr(sys.modules[module], name, value)
        return value

    return __getattr__
