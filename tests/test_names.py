"""The tables of names that are read without torch equal those of the classes."""

from dimple import names
from dimple.data.images import READERS, load_images
from dimple.networks import MODELS
from dimple.probes import PROBES
from dimple.probes.margin import METHODS


def test_names_equal_the_tables_of_the_classes() -> None:
    assert {name: model.shape for name, model in MODELS.items()} == names.MODELS
    assert tuple(PROBES) == names.SAMPLE_PROBES
    assert tuple(METHODS) == names.METHODS
    assert {*READERS, "npz", "points"} == set(names.DATASETS)


def test_the_shape_of_the_digits_is_that_of_the_data() -> None:
    assert load_images(names.DIGITS, "test").shape == names.DIGITS_SHAPE == names.MODELS[names.DIGITS_MODEL]
