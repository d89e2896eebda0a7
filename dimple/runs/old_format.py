"""The settings and the tables of a run of version 0.1 with their present names."""

from pathlib import Path

import numpy as np
import yaml

from dimple.errors import RunError
from dimple.renamed import new_column, new_value, upgrade_config, upgrade_scene, upgrade_units
from dimple.runs.mesh_arrays import Arrays
from dimple.runs.schema import MAKE_AGAIN, parse_settings


def upgrade_settings(text: str, path: Path) -> str:
    """Return the settings of a run of version 0.1 as YAML with the present names."""
    settings = dict(parse_settings(text, path))
    try:
        upgraded = upgrade_scene(settings) if "manifold" in settings else upgrade_config(settings)
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise RunError(f"{path}: is not readable ({error}); {MAKE_AGAIN}") from None
    return str(yaml.safe_dump(upgraded, sort_keys=False))


def upgrade_table(columns: Arrays, units: dict[str, str]) -> tuple[Arrays, dict[str, str]]:
    """Return the columns and the units of a table of version 0.1 with the present names and values."""
    columns = {new_column(column): values for column, values in columns.items()}
    for column in {"split", "statistic", "unit"} & columns.keys():
        values = [new_value(column, value) for value in columns[column].tolist()]
        columns[column] = np.array(values, dtype=object)
    return columns, upgrade_units(units)
