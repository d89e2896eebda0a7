"""The generator of docs/migration.md, the page that lists the names of version 0.1 with the present names.

Write the page again after a change of the tables:

    python -c "from dimple.migration import migration_page; print(migration_page(), end='')" > docs/migration.md
"""

from collections.abc import Mapping

from dimple.renamed import (
    COLUMN_SUFFIXES,
    COLUMNS,
    COMMANDS,
    CONFIG_KEYS,
    FLAGS,
    FORMER_NULLS,
    INFO_KEYS,
    PYTHON_NAMES,
    SCENE_KEYS,
    SCENE_VALUES,
    SPLITS,
    UNITS,
)

# Attributes, methods and parameters of public classes that users call; fields of scene files are in SCENE_KEYS.
PYTHON_MEMBERS = {
    "Boundary.box": "Boundary.bounds",
    "Boundary.classifier": "Boundary.model",
    "Boundary.gap": "Boundary.logit_margin",
    "Boundary.gap_and_gradient": "Boundary.logit_margin_and_gradient",
    "Boundary.gap_and_rival_gradients": "Boundary.scores_and_class_gradients",
    "Boundary.gap_hessian": "Boundary.logit_margin_hessian",
    "Checkpoints.glob": "Checkpoints.from_glob",
    "Images.box": "Images.bounds",
    "Images.levels": "Images.max_level",
    "Labelling.extend": "LabelRule.label_new_points",
    "Labelling.labels": "LabelRule.label_training_points",
    "Labelling.on": "LabelRule.bind",
    "LocalPCA.neighbours": "LocalPCA.neighbors",
    "Manifold.component": "Manifold.component_index",
    "Manifold.geodesic": "Manifold.geodesic_distance",
    "Manifold.grid": "Manifold.regular_grid",
    "Manifold.mesh": "Manifold.display_mesh",
    "Manifold.nodes": "Manifold.grid_points",
    "Manifold.parts": "Manifold.components",
    "Manifold.room": "Manifold.medial_axis_distance",
    "Manifold.second_form": "Manifold.second_fundamental_form",
    "Manifold.unfold": "Manifold.parametrization",
    "ManifoldSamples.probe": "DataSplits.heldout",
    "Run.box": "Run.display_bounds",
    "Run.drawn": "Run.display_points",
    "Run.packed": "Run.archive_path",
    "Run.pictures": "Run.images",
    "Run.positions": "Run.training_points",
    "Run.section": "Run.affine_slice",
    "Sampling.points": "Sampling.sample",
    "Scene.domain": "Scene.display_bounds",
    "Scene.drawable": "Scene.is_drawable",
    "Scene.in_section": "Scene.has_display_slice",
    "Section.fitted_box": "AffineSlice.bounding_box",
    "Section.principal": "AffineSlice.from_principal_components",
    "Section.steepest": "AffineSlice.from_gradients",
    "Section.through": "AffineSlice.from_points",
    "Split.off": "TangentDecomposition.normal",
    "Split.off_share": "TangentDecomposition.normal_fraction",
    "Split.on": "TangentDecomposition.tangent",
    "Split.on_share": "TangentDecomposition.tangent_fraction",
    "Synthetic.draw": "SyntheticData.sample",
}

# Files and folders of a run, and parts of the package that have a folder of their own.
RUN_FILES = {
    "scene.yaml, of a measurement or a slice": "config.yaml",
    "parts/": "cache/",
    "pictures.safetensors": "images.safetensors",
}
FOLDERS = {
    "dimple.boundary, level sets and their meshes": "dimple.levelsets",
    "dimple.boundary, affine maps of a network": "dimple.tracing",
    "dimple.boundary, linear bounds": "dimple.verification",
    "dimple.data, readers of image files": "dimple.data.readers",
    "dimple.probes, searches for boundary points": "dimple.attacks",
    "dimple.probes, tangent spaces": "dimple.tangents",
    "dimple.probes, nulls, aggregates and phases": "dimple.stats",
    "dimple.probes, Lipschitz bounds, branch and bound": "dimple.verification",
    "dimple.probes, operator norms and Lanczos iteration": "dimple.linalg",
}

INTRODUCTION = """# From version 0.1 to 0.2

Version 0.2 replaces many names of version 0.1 by the standard terms of the field: in commands, flags, scene files,
tables and Python. Nothing is computed differently. The same scene, seed and libraries give the same numbers to the
last bit.

- Runs of 0.1 still open. Every command and `Run.open` read them with the present names of columns, keys and settings,
  and show one line that says so. The files of the run are not changed. An unfinished run of 0.1 cannot be continued.
- An old command or flag is answered with its present name, with exit code 2.
- A scene file with an old key or value is answered with the file, the line and the present name.
- An old public name in Python raises an `ImportError`, an old field of a settings class such as
  `Margin(budget=40)` raises a `TypeError`. The message contains the present name.
- Level sets, searches for boundary points, tangent spaces, statistics and verification are packages of their own.
- A column ends in `_null` only if it is a comparison with random subspaces or permutations. Other comparisons have
  names of their own, such as `majority_accuracy`.

The tables below list all of these names. The program answers old commands, flags, keys and values of scene files, and
Python names with a sentence that contains the present name. It translates old keys of `config.yaml`, columns, values,
units, entries of `run.json` and files of a run when it opens a run of 0.1. Folders of the package, attributes, methods
and parameters are only listed here: an old one raises the usual error of Python.
"""


def migration_page() -> str:
    """Return the text of docs/migration.md: the introduction and all tables."""
    columns = {**COLUMNS, **{f"{old}_null": new for old, new in FORMER_NULLS.items()}}
    columns |= {f"...{old}": f"...{new}" for old, new in COLUMN_SUFFIXES.items() if old != new}
    values = {f"split: {old}": f"split: {new}" for old, new in SPLITS.items()} | UNITS
    tables: dict[str, Mapping[str, str]] = {
        "Commands": {f"dimple {old}": f"dimple {new}" for old, new in COMMANDS.items()},
        "Flags": FLAGS,
        "Keys of scene files": _dotted(SCENE_KEYS),
        "Values in scene files": _dotted(SCENE_VALUES),
        "Keys of config.yaml": CONFIG_KEYS,
        "Columns of tables": dict(sorted(columns.items())),
        "Values and units in tables": values,
        "Entries of run.json": INFO_KEYS,
        "Files of a run": RUN_FILES,
        "Folders of the package": FOLDERS,
        "Python names": PYTHON_NAMES,
        "Attributes, methods and parameters": PYTHON_MEMBERS,
    }
    return "\n".join([INTRODUCTION, *[_markdown_table(title, names) for title, names in tables.items()]])


def _dotted(tables: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Join tables by the top-level key of a scene file to one table."""
    return {f"{key}: {old}": f"{key}: {new}" for key, names in tables.items() for old, new in names.items()}


def _markdown_table(title: str, names: Mapping[str, str]) -> str:
    rows = [f"| `{old}` | `{new}` |" for old, new in names.items()]
    return "\n".join([f"## {title}", "", "| 0.1 | 0.2 |", "|---|---|", *rows, ""])
