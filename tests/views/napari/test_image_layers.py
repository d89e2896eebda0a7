"""Images and perturbations as layers: true numbers for one channel, colours around grey for three."""

import numpy as np

from dimple.views.napari.image_layers import picture_layers

# Two samples of two by two pixels.
ON = np.array([[[[0.1, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, -0.4]]]], dtype=np.float32)
OFF = np.array([[[[0.0, 0.0], [0.2, 0.0]]], [[[0.4, 0.0], [0.0, 0.0]]]], dtype=np.float32)
IMAGE = np.full((2, 1, 2, 2), 0.6, dtype=np.float32)


def pictures(channels: int) -> dict[str, np.ndarray]:
    parts = {"image": IMAGE, "perturbation": ON + OFF, "on_part": ON, "off_part": OFF}
    return {name: np.repeat(values, channels, axis=1) for name, values in parts.items()}


def test_grey_images_keep_the_numbers_of_their_perturbations() -> None:
    shown = picture_layers(pictures(1), ["first", "second"])
    found = {about["name"]: (data, about) for data, about, kind in shown.layers if kind == "image"}
    assert list(found) == ["image", "at the boundary", "perturbation", "on the manifold", "off the manifold"]
    assert all(data.shape == (2, 2, 2) for data, _ in found.values())
    assert all(about["axis_labels"] == ("sample", "y", "x") for _, about in found.values())
    on, off, whole = (found[name][0] for name in ("on the manifold", "off the manifold", "perturbation"))
    assert np.array_equal(on + off, whole) and whole[1, 1, 1] == np.float32(-0.4)
    assert found["image"][0][0, 0, 0] == 153 and found["at the boundary"][0][1, 0, 0] == 255
    # Nine tenths of the way from 0.2 to 0.4, the largest changes of the two; one range for all, zero in its middle.
    limits = [found[name][1]["contrast_limits"] for name in shown.linked]
    assert shown.linked == ("perturbation", "on the manifold", "off the manifold")
    assert np.allclose(limits, [[-0.38, 0.38]] * 3)
    assert shown.captions == tuple(f"{name}\nfull colour: a pixel changes by 0.38" for name in ("first", "second"))


def test_three_channels_become_colours_around_grey() -> None:
    found = {about["name"]: (data, about) for data, about, _ in picture_layers(pictures(3), ["", ""]).layers}
    assert all(data.shape == (2, 2, 2, 3) and data.dtype == np.uint8 for data, _ in found.values())
    assert all(about["rgb"] for _, about in found.values())
    whole = found["perturbation"][0]
    assert whole[0, 0, 1].tolist() == [128] * 3
    assert whole[0, 1, 0].tolist() == [round(255 * (0.5 + 0.2 / 0.76))] * 3
    assert whole[1, 1, 1].tolist() == [0] * 3


def test_without_tangents_there_is_the_whole_perturbation_only() -> None:
    some = {name: values for name, values in pictures(1).items() if not name.endswith("part")}
    names = [about["name"] for _, about, _ in picture_layers(some, ["", ""]).layers]
    assert names == ["image", "at the boundary", "perturbation"]
