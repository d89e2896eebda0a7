"""The names of version 0.1 and the names that replace them, in tables.

These tables are used to read runs of format 1, to answer an old command, flag, key or public Python name with a
sentence, and to generate `docs/migration.md` (see `dimple.migration`).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

# The version that brought the new names.
VERSION = "0.2"

COMMANDS = {
    "certify": "completeness",
    "film": "export",
    "section": "slice",
}

FLAGS = {
    "--bands": "--subspaces",
    "--budget": "--max-passes",
    "--cells": "--resolution",
    "--draws": "--null-draws",
    "--neighbours": "--neighbors",
    "--state-key": "--state-dict-key",
}

# Keys of scene files, which are also fields of settings classes, by the top-level key of the file.
SCENE_KEYS = {
    "data": {
        "at": "points",
        "of": "base",
        "probe_points": "heldout_points",
        "share": "fraction",
        "shares": "fractions",
    },
    "levelset": {
        "cells": "resolution",
        "certified": "completeness_resolution",
        "most": "max_polygons",
        "snap": "refine_vertices",
    },
    "manifold": {
        "centre": "center",
        "of": "base",
    },
    "network": {
        "input_scale": "first_layer_weight_scale",
        "offset": "initial_logit_bias",
    },
    "probes": {
        "budget": "max_passes",
        "cells": "resolution",
        "draws": "null_draws",
        "hidden": "method",
        "rival": "adversarial_class",
        "starts": "restarts",
    },
}

# Values of `kind` and of other keys, by the top-level key of the file.
SCENE_VALUES = {
    "data": {
        "centres": "voronoi",
        "given": "explicit",
        "graded": "density_gradient",
        "lattice": "grid",
        "listed": "explicit",
        "picture": "image",
        "spread": "farthest_point",
    },
    "levelset": {"grid": "dense"},
    "manifold": {"lift": "embed"},
    "probes": {"carried": "crown", "interval": "ibp"},
}

# Keys of config.yaml, which holds the settings of a measurement or a slice.
CONFIG_KEYS = {flag[2:].replace("-", "_"): new[2:].replace("-", "_") for flag, new in FLAGS.items()} | {
    "contents": "checksums"
}

# Columns of tables. A suffix such as `_null_low`, `_found` or `_draws` stays.
COLUMNS = {
    "accuracy_null": "majority_accuracy",
    "boundary_found": "boundary_distance_found",
    "boundary_limit": "search_limit",
    "confidence_rank_correlation": "spearman_confidence_margin",
    "confidence_rank_correlation_correct": "spearman_confidence_margin_correct",
    "confidence_rank_correlation_wrong": "spearman_confidence_margin_wrong",
    "curvature_finite": "curvature_finite_difference",
    "curvature_size": "curvature_mean_abs",
    "dimple_found": "dimple_depth_found",
    "error_null": "noise_error",
    "error_null_high": "noise_error_high",
    "error_null_low": "noise_error_low",
    "fed_to": "target_model",
    "figure": "statistic",
    "gap": "logit_margin",
    "gradient_off_share": "gradient_off_manifold_fraction",
    "lipschitz_bound": "lipschitz_upper_bound",
    "lipschitz_met": "lipschitz_lower_bound",
    "made_for": "source_model",
    "margin_any": "margin_unbounded",
    "margin_exact": "margin_exact_upper",
    "margin_exact_bound": "margin_exact_lower",
    "margin_lower": "certified_radius",
    "margin_masked": "margin_multiple_minima",
    "margin_null": "margin_test",
    "margin_reached": "margin_unrefined",
    "margin_residual": "stationarity_angle",
    "margin_section": "margin_in_slice",
    "margin_wrong": "margin_misclassified",
    "null_rms": "noise_rms",
    "off_ratio": "margin_off_ratio",
    "off_share": "gradient_off_manifold_fraction",
    "off_share_error": "gradient_off_manifold_fraction_stderr",
    "on_ratio": "margin_on_ratio",
    "on_share": "perturbation_on_manifold_fraction",
    "pca_bottom_ratio": "margin_pca_bottom_ratio",
    "pca_top_ratio": "margin_pca_top_ratio",
    "rival": "adversarial_class",
    "section_share": "gradient_slice_fraction",
    "share": "fraction",
    "share_null": "fraction_null",
    "shares": "class_fractions",
    "speed_positive": "speed_positive_fraction",
    "speed_rank_short": "speed_rank_correlation_initial",
    "speed_rank_whole": "speed_rank_correlation_full",
    "speed_sign_short": "speed_sign_agreement_initial",
    "speed_sign_whole": "speed_sign_agreement_full",
    "tangent_validity": "tangent_plane_distance_ratio",
    "test_accuracy_null": "test_majority_accuracy",
    "train_accuracy_null": "train_majority_accuracy",
    "valid_share": "valid_fraction",
}
# Columns with a comparison that was called a null, but is not a random subspace or permutation.
FORMER_NULLS = {
    "calibration_error": "calibration_error_calibrated",
    "calibration_error_adaptive": "calibration_error_adaptive_calibrated",
    "speed_positive": "speed_positive_fraction_chance",
    "speed_sign_short": "speed_sign_agreement_initial_chance",
    "speed_sign_whole": "speed_sign_agreement_full_chance",
}
# Endings of columns, which may follow an old name.
COLUMN_SUFFIXES = {
    "_change": "_change",
    "_change_verdict": "_change_verdict",
    "_closed": "_analytic",
    "_draws": "_draws",
    "_found": "_found",
    "_found_null": "_found_null",
    "_null": "_null",
    "_null_high": "_null_high",
    "_null_low": "_null_low",
    "_verdict": "_verdict",
}

# Values of the column `split`.
SPLITS = {"probe": "heldout"}
# Units of columns.
UNITS = {
    "0 converged, 1 budget, 2 no crossing": "0 converged, 1 max_passes reached, 2 no crossing",
    "as the margin": "unit of the margin",
    "bound over what was met": "upper bound / lower bound",
    "ratio to the free margin": "x free margin",
    "relative, at 4x the budget": "relative, at 4x the passes",
    "root mean square a coordinate": "root mean square per coordinate",
    "share": "fraction",
    "train, test or probe": "train, test or heldout",
}
# Arrays of geometry.safetensors.
ARRAYS = {"drawn": "display_points"}
# Entries of run.json.
INFO_KEYS = {
    "cells": "resolution",
    "control_cells": "control_resolution",
    "draws": "null_draws",
    "section": "slice",
    "words": "description",
}

# Public names of the package, its folders and the families of samplings and labels.
PYTHON_NAMES = {
    "dimple.ProbeRequest": "dimple.ProbeConfig",
    "dimple.boundary.Adaptive": "dimple.levelsets.Adaptive",
    "dimple.boundary.Automatic": "dimple.levelsets.Auto",
    "dimple.boundary.Certificate": "dimple.levelsets.CompletenessResult",
    "dimple.boundary.Exact": "dimple.levelsets.Exact",
    "dimple.boundary.Grid": "dimple.levelsets.Dense",
    "dimple.boundary.LEVEL_SETS": "dimple.levelsets.LEVEL_SETS",
    "dimple.boundary.LevelSet": "dimple.levelsets.LevelSet",
    "dimple.boundary.Mesh": "dimple.levelsets.Mesh",
    "dimple.boundary.NoLevelSet": "dimple.levelsets.NoLevelSet",
    "dimple.boundary.Polyhedral": "dimple.levelsets.PolygonComplex",
    "dimple.boundary.Section": "dimple.boundary.AffineSlice",
    "dimple.boundary.Surface": "dimple.levelsets.PairwiseBoundary",
    "dimple.boundary.certify": "dimple.levelsets.check_completeness",
    "dimple.boundary.class_regions": "dimple.levelsets.class_regions",
    "dimple.boundary.extract_pairs": "dimple.levelsets.extract_pairwise_boundaries",
    "dimple.boundary.folds": "dimple.tracing.piecewise_linear.read_piecewise_linear",
    "dimple.boundary.is_folded": "dimple.tracing.piecewise_linear.is_piecewise_linear",
    "dimple.boundary.land": "dimple.boundary.root_finding.refine_to_boundary",
    "dimple.boundary.restricted": "dimple.boundary.restrict_to_slice",
    "dimple.data.LABELLINGS": "dimple.data.LABEL_RULES",
    "dimple.data.Labelling": "dimple.data.LabelRule",
    "dimple.data.Synthetic": "dimple.data.SyntheticData",
    "dimple.data.labels.Alternating": "dimple.data.labels.AlternatingLabels",
    "dimple.data.labels.Checkerboard": "dimple.data.labels.CheckerboardLabels",
    "dimple.data.labels.Class": "dimple.data.labels.BinaryClass",
    "dimple.data.labels.Given": "dimple.data.labels.ExplicitLabels",
    "dimple.data.labels.HalfSpace": "dimple.data.labels.HalfSpaceLabels",
    "dimple.data.labels.Noisy": "dimple.data.labels.NoisyLabels",
    "dimple.data.labels.Random": "dimple.data.labels.RandomLabels",
    "dimple.data.sampling.Clustered": "dimple.data.sampling.ClusteredSampling",
    "dimple.data.sampling.Graded": "dimple.data.sampling.DensityGradientSampling",
    "dimple.data.sampling.Imbalanced": "dimple.data.sampling.ImbalancedSampling",
    "dimple.data.sampling.Lattice": "dimple.data.sampling.GridSampling",
    "dimple.data.sampling.Listed": "dimple.data.sampling.ExplicitSampling",
    "dimple.data.sampling.Spread": "dimple.data.sampling.FarthestPointSampling",
    "dimple.data.sampling.Uniform": "dimple.data.sampling.UniformSampling",
    "dimple.experiment.ProbeRequest": "dimple.experiment.ProbeConfig",
    "dimple.experiment.SectionRequest": "dimple.experiment.SliceConfig",
    "dimple.experiment.certify_run": "dimple.experiment.check_run_completeness",
    "dimple.experiment.film": "dimple.experiment.export_run",
    "dimple.experiment.gallery": "dimple.experiment.build_gallery",
    "dimple.experiment.napari": "dimple.experiment.open_in_napari",
    "dimple.experiment.section": "dimple.experiment.slice_network",
    "dimple.frozen": "dimple.freeze",
    "dimple.manifolds.Decoder": "dimple.manifolds.DecoderManifold",
    "dimple.manifolds.Lift": "dimple.manifolds.Embedding",
    "dimple.manifolds.Placed": "dimple.manifolds.FramedEmbedding",
    "dimple.networks.Normalised": "dimple.networks.NormalizedModel",
    "dimple.networks.frozen": "dimple.networks.freeze",
    "dimple.networks.inner": "dimple.networks.unwrap",
    "dimple.networks.matched": "dimple.networks.check_compatible",
    "dimple.networks.two_class": "dimple.networks.add_second_logit",
    "dimple.probes.AutoencoderJacobian": "dimple.tangents.AutoencoderJacobian",
    "dimple.probes.Certified": "dimple.probes.CertifiedRadius",
    "dimple.probes.ClassPCA": "dimple.tangents.ClassPCA",
    "dimple.probes.GlobalPCA": "dimple.tangents.GlobalPCA",
    "dimple.probes.LocalPCA": "dimple.tangents.LocalPCA",
    "dimple.probes.Phases": "dimple.stats.Phases",
    "dimple.probes.RandomSubspace": "dimple.tangents.RandomSubspace",
    "dimple.probes.Split": "dimple.tangents.TangentDecomposition",
    "dimple.probes.angles_between": "dimple.tangents.angles_between_fields",
    "dimple.probes.boundary_points": "dimple.probes.find_boundary_points",
    "dimple.probes.confidence_row": "dimple.probes.confidence_summary",
    "dimple.probes.descent": "dimple.probes.gradient_descent_direction",
    "dimple.probes.difference": "dimple.probes.weight_difference",
    "dimple.probes.intrinsic_dimension": "dimple.tangents.intrinsic_dimension",
    "dimple.probes.measure": "dimple.probes.run_probes",
    "dimple.probes.moved": "dimple.probes.move_weights",
    "dimple.probes.phases": "dimple.stats.detect_phases",
    "dimple.probes.principal_angles": "dimple.tangents.principal_angles",
    "dimple.probes.reliability": "dimple.probes.reliability_diagram",
    "dimple.probes.speed_shares": "dimple.probes.speed_sign_fractions",
    "dimple.probes.split": "dimple.tangents.decompose",
    "dimple.training.Snapshots": "dimple.training.SnapshotSchedule",
    "dimple.training.Standard": "dimple.training.Training",
}


def sentence(old: str, new: str) -> str:
    """Return the sentence that answers an old name.

    Example:
        >>> sentence("dimple film", "dimple export")
        'dimple film has been called dimple export since version 0.2'
    """
    return f"{old} has been called {new} since version {VERSION}"


def missing_attribute(module: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module, which answers a name of version 0.1 with the new name.

    It raises an `ImportError` for such a name, because `from module import name` replaces the message of an
    `AttributeError` by its own. For every other name it raises an `AttributeError`.

    Example:
        >>> missing_attribute("dimple.boundary")("Grid")
        Traceback (most recent call last):
        ImportError: dimple.boundary.Grid has been called dimple.levelsets.Dense since version 0.2
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        new = PYTHON_NAMES.get(f"{module}.{name}")
        if new is not None:
            raise ImportError(sentence(f"{module}.{name}", new), name=module)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return __getattr__


def new_scene_key(path: str, key: str, known: Collection[str]) -> str | None:
    """Return the new name of a key of version 0.1 at `path` of a scene, or None if it is not among `known`.

    Example:
        >>> new_scene_key("probes[0]", "draws", ["null_draws", "seed"])
        'null_draws'
    """
    new = SCENE_KEYS.get(_top_key(path), {}).get(key)
    return new if new in known else None


def new_scene_value(path: str, value: Any, known: Collection[str]) -> str | None:
    """Return the new form of a value of version 0.1 at `path` of a scene, or None if it is not among `known`."""
    new = SCENE_VALUES.get(_top_key(path), {}).get(value) if isinstance(value, str) else None
    return new if new in known else None


def new_field(field: str, known: Collection[str]) -> str | None:
    """Return the new name of a field of a settings class that now has the fields `known`, or None.

    Example:
        >>> new_field("budget", ["norm", "max_passes"])
        'max_passes'
    """
    tables = (*SCENE_KEYS.values(), CONFIG_KEYS)
    return next((keys[field] for keys in tables if keys.get(field) in known), None)


def new_column(name: str) -> str:
    """Return the present name of a column of version 0.1.

    Example:
        >>> new_column("on_ratio_null_low"), new_column("on_ratio_closed"), new_column("loss")
        ('margin_on_ratio_null_low', 'margin_on_ratio_analytic', 'loss')
    """
    if name in COLUMNS:
        return COLUMNS[name]
    for old, new in FORMER_NULLS.items():
        if name.startswith(f"{old}_null") and name.removeprefix(f"{old}_null") in ("", "_low", "_high"):
            return new + name.removeprefix(f"{old}_null")
    for suffix in sorted(COLUMN_SUFFIXES, key=len, reverse=True):
        stem = name.removesuffix(suffix)
        if stem != name:
            return COLUMNS.get(stem, stem) + COLUMN_SUFFIXES[suffix]
    return name


def new_value(column: str, value: str) -> str:
    """Return the present form of a value in the column `column`: of a split, a unit or the name of a column.

    Example:
        >>> new_value("split", "probe"), new_value("statistic", "gap"), new_value("label", "probe")
        ('heldout', 'logit_margin', 'probe')
    """
    if column == "statistic":
        return new_column(value)
    return {"split": SPLITS, "unit": UNITS}.get(column, {}).get(value, value)


def upgrade_scene(scene: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a simulation of version 0.1 with the present names."""
    return {top_key: _upgrade_entry(value, top_key) for top_key, value in scene.items()}


def _upgrade_entry(value: Any, top_key: str) -> Any:
    if isinstance(value, dict):
        keys = SCENE_KEYS.get(top_key, {})
        return {keys.get(key, key): _upgrade_entry(item, top_key) for key, item in value.items()}
    if isinstance(value, list):
        return [_upgrade_entry(item, top_key) for item in value]
    return SCENE_VALUES.get(top_key, {}).get(value, value) if isinstance(value, str) else value


def upgrade_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a measurement or a slice of version 0.1 with the present names."""
    return {CONFIG_KEYS.get(key, key): value for key, value in config.items()}


def upgrade_info(value: Any) -> Any:
    """Return the content of run.json of version 0.1 with the present names."""
    if isinstance(value, list):
        return [upgrade_info(item) for item in value]
    if not isinstance(value, dict):
        return value
    entries: dict[str, Any] = {
        INFO_KEYS.get(key, new_column(key)): upgrade_units(item) if key == "units" else upgrade_info(item)
        for key, item in value.items()
    }
    if entries.get("kind") == "section":
        entries["kind"] = "slice"
    if "split" in entries:
        entries["split"] = new_value("split", entries["split"])
    return entries


def upgrade_units(units: Mapping[str, str]) -> dict[str, str]:
    """Return the units of the columns of a table of version 0.1 with the present names of columns and units."""
    return {new_column(column): UNITS.get(unit, unit) for column, unit in units.items()}


def _top_key(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
