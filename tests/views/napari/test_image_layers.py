"""Images and perturbations as layers: the numbers themselves for one channel, colors around gray for three."""

import numpy as np

from dimple.views.napari.image_layers import make_image_layout

# Two samples of 2 x 2 pixels.
ON = np.array([[[[0.1, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, -0.4]]]], dtype=np.float32)
OFF = np.array([[[[0.0, 0.0], [0.2, 0.0]]], [[[0.4, 0.0], [0.0, 0.0]]]], dtype=np.float32)
IMAGE = np.full((2, 1, 2, 2), 0.6, dtype=np.float32)


def make_images(channels: int) -> dict[str, np.ndarray]:
    arrays = {"image": IMAGE, "perturbation": ON + OFF, "on_part": ON, "off_part": OFF}
    return {name: np.repeat(values, channels, axis=1) for name, values in arrays.items()}


def test_gray_images_keep_the_numbers_of_their_perturbations() -> None:
    layout = make_image_layout(make_images(1), ["first", "second"])
    found = {options["name"]: (data, options) for data, options, kind in layout.layers if kind == "image"}
    assert list(found) == ["image", "at the boundary", "perturbation", "on the manifold", "off the manifold"]
    assert all(data.shape == (2, 2, 2) for data, _ in found.values())
    assert all(options["axis_labels"] == ("sample", "y", "x") for _, options in found.values())
    on, off, total = (found[name][0] for name in ("on the manifold", "off the manifold", "perturbation"))
    assert np.array_equal(on + off, total) and total[1, 1, 1] == np.float32(-0.4)
    assert found["image"][0][0, 0, 0] == 153 and found["at the boundary"][0][1, 0, 0] == 255
    # The 0.9 quantile of 0.2 and 0.4, the largest changes of the two samples. All layers have one range around zero.
    limits = [found[name][1]["contrast_limits"] for name in layout.linked_layers]
    assert layout.linked_layers == ("perturbation", "on the manifold", "off the manifold")
    assert np.allclose(limits, [[-0.38, 0.38]] * 3)
    assert layout.captions == tuple(f"{name}\nfull color: a pixel changes by 0.38" for name in ("first", "second"))


def test_three_channels_become_colors_around_gray() -> None:
    layout = make_image_layout(make_images(3), ["", ""])
    found = {options["name"]: (data, options) for data, options, _ in layout.layers}
    assert all(data.shape == (2, 2, 2, 3) and data.dtype == np.uint8 for data, _ in found.values())
    assert all(options["rgb"] for _, options in found.values())
    total = found["perturbation"][0]
    assert total[0, 0, 1].tolist() == [128] * 3
    assert total[0, 1, 0].tolist() == [round(255 * (0.5 + 0.2 / 0.76))] * 3
    assert total[1, 1, 1].tolist() == [0] * 3


def test_without_tangents_there_is_only_the_total_perturbation() -> None:
    images = {name: values for name, values in make_images(1).items() if not name.endswith("part")}
    names = [options["name"] for _, options, _ in make_image_layout(images, ["", ""]).layers]
    assert names == ["image", "at the boundary", "perturbation"]


def test_pixels_are_shown_from_the_lowest_to_the_highest_value() -> None:
    plain = make_image_layout(make_images(1), ["", ""]).layers
    scaled = {name: 255 * values + (name == "image") * -10 for name, values in make_images(1).items()}
    for (data, _, _), (expected, options, _) in zip(
        make_image_layout(scaled, ["", ""], -10, 245).layers, plain, strict=True
    ):
        is_pixels = options["name"] in ("image", "at the boundary")
        known = expected.astype(float) if is_pixels else 255.0 * expected
        # One level of 255 is rounding.
        assert np.allclose(data.astype(float), known, rtol=0, atol=1.0 if is_pixels else 1e-4)
