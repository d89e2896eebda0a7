"""Measurement of networks in memory: known margins from any kind of input, and one sentence for every mistake."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dimple import Run, compare, measure
from dimple.cli.commands.explain import explain
from dimple.errors import DimpleError, ModelError, RunError, ShapeError, UsageError
from dimple.experiment.outputs.report import read_comparison
from dimple.experiment.probing.in_memory import build_probes
from dimple.manifolds import Sphere
from dimple.probes import CertifiedRadius, Margin, OnOff
from dimple.tensors import generator
from dimple.views.report.comparison_facts import comparison_facts


def half_space(scale: float = 1.0) -> nn.Linear:
    """A network of two scores whose boundary is x_0 = 0."""
    layer = nn.utils.skip_init(nn.Linear, 2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(scale * torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    return layer.eval()


POINTS = [[0.5, 0.5], [-0.25, 0.5], [0.75, -0.5]]
LABELS = [0, 1, 1]
KNOWN = [0.5, 0.25, -0.75]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (POINTS, LABELS),
        (np.array(POINTS), np.array(LABELS, dtype=np.uint8)),
        (torch.tensor(POINTS), torch.tensor(LABELS, dtype=torch.int32)),
        (torch.tensor(POINTS).half(), torch.tensor(LABELS).float()),
        (np.array(POINTS, dtype=np.float32), tuple(LABELS)),
        (np.array(POINTS, dtype=">f4"), np.array(LABELS, dtype=">i8")),
        (np.array(POINTS, dtype=np.longdouble), np.array(LABELS, dtype=np.uint64)),
    ],
    ids=["lists", "float64 arrays", "tensors", "half precision", "float32 arrays", "big-endian", "long double"],
)
def test_samples_and_labels_of_any_kind_give_known_margins(x: object, y: object) -> None:
    result = measure(half_space(), x, y, bounds=(-1, 1))
    assert result.table["margin"].tolist() == pytest.approx(KNOWN, abs=1e-4)
    assert result.units["margin"] == "l2, input units"


def test_the_samples_of_the_caller_never_change() -> None:
    x = torch.tensor(POINTS)
    before = x.clone()
    layer = half_space()
    result = measure(lambda z: layer(z.mul_(2.0)), x, LABELS, bounds=(-1, 1))
    assert torch.equal(x, before)
    assert result.table["margin"].tolist() == pytest.approx(KNOWN, abs=1e-4)


def test_distances_are_in_units_of_the_data() -> None:
    images = torch.rand(6, 3, 2, 2, generator=generator(0, "images"))
    layer = nn.utils.skip_init(nn.Linear, 12, 2).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 12, generator=generator(1, "weights")))
        layer.bias.copy_(-layer.weight.sum(1) / 2)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.4, 0.3)
    shift, scale = (torch.tensor(values).repeat_interleave(4) for values in (mean, std))

    def normalized(x: Tensor) -> Tensor:
        return layer(x.flatten(1))

    result = measure(normalized, images, bounds=None, preprocessing=(mean, std)).table["margin"]
    normal = (layer.weight[0] - layer.weight[1]) / scale
    scores = layer((images.flatten(1) - shift) / scale)
    known = (scores[:, 0] - scores[:, 1]).abs() / normal.norm()
    assert torch.allclose(result.abs(), known, rtol=1e-4)


def test_probes_are_names_or_objects() -> None:
    x, y = torch.tensor(POINTS), torch.tensor(LABELS)
    result = measure(half_space(), x, y, ["certified", Margin(norm="linf", max_passes=100)], bounds=(-1, 1))
    assert result.table["margin"].tolist() == pytest.approx(KNOWN, abs=1e-4)
    assert bool((result.table["certified_radius"] <= result.table["margin"].abs() + 1e-6).all())
    (onoff,) = build_probes(["onoff"], seed=7)
    assert isinstance(onoff, OnOff) and onoff.seed == 7


def test_tangent_spaces_are_exact_or_estimated_from_reference_samples() -> None:
    sphere = Sphere(dim=2, radius=0.3)
    x = sphere.sample(8, generator(0, "x")).float()
    cloud = sphere.sample(3000, generator(1, "cloud")).float()

    def ball(x: Tensor) -> Tensor:
        length = x.norm(dim=1)
        return torch.stack([0.4 - length, length - 0.4], dim=1)

    probe = OnOff(null_draws=3)
    exact = measure(ball, x, torch.zeros(8), [probe], bounds=None, tangents=sphere).table
    estimated = measure(ball, x, torch.zeros(8), [probe], bounds=None, tangents="local_pca", reference=cloud).table
    assert torch.allclose(exact["margin_on"], torch.full((8,), 0.07**0.5), rtol=1e-2)
    assert torch.allclose(estimated["margin_on"], exact["margin_on"], rtol=0.1)


@pytest.mark.parametrize("network_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sample_dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("probe", ["margin", "exact", "certified", "curvature"])
def test_networks_and_samples_of_both_precisions_are_measured(
    network_dtype: torch.dtype, sample_dtype: torch.dtype, probe: str
) -> None:
    stream = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
        x = torch.rand(6, 3, generator=stream)
        network[2].bias -= network(x).mean(0)
    exact = measure(network.double(), x.double(), None, ["exact"], bounds=(0, 1)).table["margin_exact_lower"]
    assert torch.isfinite(exact).all()
    found = measure(network.to(network_dtype), x.to(sample_dtype), None, [probe], bounds=(0, 1)).table
    if probe == "margin":
        assert (found["margin"] >= exact - 1e-5).all()
        assert found["margin"].median() == pytest.approx(float(exact.median()), rel=0.01)
    if probe == "exact":
        assert found["margin_exact_lower"].tolist() == pytest.approx(exact.tolist(), abs=1e-5)
    if probe == "certified":
        assert (found["certified_radius"] <= exact + 1e-6).all()


def test_the_arrays_of_the_caller_never_change() -> None:
    x = np.array(POINTS, dtype=np.float32)
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(half_space(), x, LABELS, bounds=(-1, 1))
    assert x.tolist() == POINTS


def test_unlabeled_samples_take_their_prediction() -> None:
    for y in (None, [-1, -1, -1]):
        result = measure(half_space(), POINTS, y, bounds=(-1, 1))
        assert result.table["margin"].tolist() == pytest.approx([0.5, 0.25, 0.75], abs=1e-4)
        assert result.table["label"].tolist() == [-1, -1, -1]


def test_unlabeled_samples_do_not_count_as_correctly_classified() -> None:
    for y, text in (
        ([-1, -1, -1], "over all 3 samples, which have no labels"),
        ([LABELS[0], -1, -1], "over the 1 correctly classified of 1 labeled samples, and the 2 unlabeled ones"),
        ([-1, 0, -1], "over the 0 correctly classified of 1 labeled samples, and the 2 unlabeled ones"),
        (LABELS, f"over the {sum(value > 0 for value in KNOWN)} correctly classified of 3 samples"),
    ):
        assert f"medians and means {text}" in measure(half_space(), POINTS, y, bounds=(-1, 1)).summary()


def test_labels_of_minus_one_and_one_are_two_classes_unless_there_are_more() -> None:
    with pytest.raises(ShapeError, match=r"labels -1 and 1; class numbers count from 0: give \(y \+ 1\) // 2"):
        measure(half_space(), POINTS, [1, -1, 1], bounds=(-1, 1))

    def three_classes(x: Tensor) -> Tensor:
        return torch.cat([half_space()(x), torch.full_like(x[:, :1], -9.0)], 1)

    found = measure(three_classes, POINTS, [1, -1, 1], bounds=(-1, 1))
    # Both samples of class 1 lie in class 0, and the third counts nowhere.
    assert (found.statistics["accuracy"], found.statistics["majority_accuracy"]) == (0.0, 1.0)


def test_a_network_in_training_mode_gives_the_margins_of_eval_mode() -> None:
    network = nn.Sequential(nn.Dropout(0.5), half_space()).train()
    with pytest.warns(UserWarning, match="training mode"):
        result = measure(network, POINTS, LABELS, bounds=(-1, 1))
    assert network.training and network[0].training
    assert result.table["margin"].tolist() == pytest.approx(KNOWN, abs=1e-4)


BAD: list[tuple[dict[str, object], type[DimpleError], str]] = [
    ({"y": [0, 1, 2]}, ShapeError, r"y\[2\] is 2; the classifier has the classes 0 to 1"),
    ({"y": [0, 1]}, ShapeError, r"y has the shape \(2,\) for 3 samples"),
    ({"y": [0.0, 0.5, 1.0]}, ShapeError, r"y\[1\] is 0.5; labels are whole numbers"),
    ({"x": [[0.5, 2.0]], "y": [0]}, ShapeError, r"x\[0, 1\] is 2, outside bounds -1 to 1; .*preprocessing="),
    ({"x": [[0.5, float("nan")]], "y": [0]}, ShapeError, r"x\[0\] contains nan"),
    ({"x": np.array([[1, 2]]), "y": [0]}, ShapeError, r"x has the type torch.int64; give real numbers"),
    ({"x": [0.5, 0.25], "y": [0, 1]}, ShapeError, r"samples are \(B, \*shape\)"),
    ({"x": ["a", "b"], "y": [0, 1]}, ShapeError, "samples are real numbers"),
    ({"x": [[0.5, 0.5], [0.5]], "y": [0, 1]}, ShapeError, "samples of different shapes"),
    ({"x": torch.tensor(POINTS).to_sparse()}, ShapeError, "x is a torch.sparse_coo tensor on cpu; samples are dense"),
    ({"x": torch.zeros(3, 2, device="meta")}, ShapeError, "tensor on meta; samples are dense"),
    ({"x": np.ma.masked_greater(np.array(POINTS), 0.6)}, ShapeError, "x is a masked array"),
    ({"bounds": 1}, UsageError, r"bounds is 1; give two numbers such as \(0, 1\)"),
    ({"bounds": (1, 0)}, ShapeError, "low 1.0 must be below high 0.0"),
    ({"probes": ["margn"]}, UsageError, "probes contains 'margn'; did you mean 'margin'"),
    ({"probes": []}, UsageError, "probes is empty"),
    ({"probes": ["onoff"]}, UsageError, "OnOff needs tangent spaces: give tangents="),
    ({"probes": ["onoff"], "tangents": "local_pca"}, UsageError, "give reference="),
    ({"probes": ["onoff"], "tangents": "lokal_pca"}, UsageError, "did you mean 'local_pca'"),
    ({"probes": 3}, UsageError, "probes contains 3; choose from"),
    ({"probes": [Margin(), Margin(norm="linf")]}, UsageError, "probes lists Margin twice"),
    ({"probes": ["onoff"], "tangents": 3}, UsageError, "tangents is 3; choose from"),
    ({"batch_size": 0}, ShapeError, "chunks of 0; give a whole number of at least 1"),
    ({"batch_size": 2.5}, ShapeError, "chunks of 2.5"),
    ({"y": ["cat", "dog", "cat"]}, ShapeError, "labels are real numbers"),
    ({"y": [[0], [1, 2], [1]]}, ShapeError, "labels of different shapes"),
    ({"y": [0, None, 1]}, ShapeError, "labels are real numbers"),
    ({"preprocessing": 0.5}, ModelError, "preprocessing is 0.5; give mean and std"),
    ({"preprocessing": (0.5, 0.5, 0.5)}, ModelError, "give mean and std"),
    ({"preprocessing": ("a", "b")}, ModelError, "give mean and std"),
    ({"preprocessing": (float("nan"), 1.0)}, ModelError, "give mean and std"),
    ({"output": 0}, ModelError, "leave output out"),
    ({"model": torch.no_grad()(half_space()), "probes": ["exact"]}, ModelError, "no gradient with respect to"),
    ({"model": lambda x: x.argmax(1)}, ModelError, "real numbers with a gradient"),
    ({"model": lambda x: x.to_sparse()}, ModelError, "a torch.sparse_coo tensor of scores; return a dense one"),
    ({"out": "a\0b"}, RunError, "cannot be used .embedded null byte"),
    ({"out": "a" * 300}, RunError, "cannot be used .File name too long"),
    ({"out": "a\udcff"}, RunError, "cannot be used .is not in UTF-8"),
]


@pytest.mark.parametrize(("arguments", "error", "complaint"), BAD, ids=[complaint[:30] for *_, complaint in BAD])
def test_a_mistake_gets_one_sentence(arguments: dict[str, object], error: type[DimpleError], complaint: str) -> None:
    given = {"model": half_space(), "x": POINTS, "y": LABELS, "bounds": (-1, 1)} | arguments
    with pytest.raises(error, match=complaint):
        measure(**given)  # type: ignore[arg-type]


def test_inside_inference_mode_the_margins_are_the_same() -> None:
    network = half_space()
    with torch.inference_mode():
        result = measure(network, torch.tensor(POINTS), LABELS, bounds=(-1, 1))
    assert result.table["margin"].tolist() == pytest.approx(KNOWN, abs=1e-4)


def test_certificates_need_no_gradient() -> None:
    result = measure(torch.no_grad()(half_space()), POINTS, LABELS, [CertifiedRadius()], bounds=(-1, 1))
    assert result.table["certified_radius"].tolist()[:2] == pytest.approx([0.5, 0.25], abs=1e-2)


def test_a_caller_in_mixed_precision_does_not_change_the_margins() -> None:
    x = torch.rand(6, 2, generator=generator(0, "points"))
    known = measure(half_space(3.0), x, None, bounds=(0, 1)).table["margin"]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(measure(half_space(3.0), x, None, bounds=(0, 1)).table["margin"], known)


def test_the_accuracy_is_that_of_the_samples_with_a_label() -> None:
    points = [*POINTS, [0.5, 0.0], [-0.5, 0.0]]
    some = measure(half_space(), points, [0, 0, 0, -1, -1], bounds=(-1, 1)).statistics
    assert some["samples"] == 5
    assert some["accuracy"] == pytest.approx(2 / 3)
    assert some["majority_accuracy"] == 1
    assert "accuracy" not in measure(half_space(), points, None, bounds=(-1, 1)).statistics


@pytest.mark.parametrize("change", ["scale", "small scale", "place", "other data"])
def test_reference_samples_of_other_data_are_told(change: str) -> None:
    stream = generator(0, "cloud")
    # A sheet of two dimensions in ten.
    sheet = torch.randn(2, 10, generator=stream)
    cloud, x = (torch.randn(count, 2, generator=stream) @ sheet for count in (400, 40))
    other = {
        "scale": 255 * cloud,
        "small scale": cloud / 255,
        "place": cloud + 20,
        "other data": torch.randn(400, 2, generator=stream) @ torch.randn(2, 10, generator=stream),
    }[change]
    network = torch.nn.Linear(10, 2).requires_grad_(False).eval()
    settings: dict[str, Any] = {"bounds": None, "tangents": "local_pca", "probes": [OnOff(null_draws=1)]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(network, x, reference=cloud, **settings)
        measure(network, x[:1], reference=cloud, **settings)
    with pytest.warns(UserWarning, match="x and reference look like different data"):
        measure(network, x, reference=other, **settings)


class Rows(torch.utils.data.Dataset[tuple[Any, int]]):
    """A data set whose items are made when they are asked for."""

    def __init__(self, samples: Any, labels: Any) -> None:
        self.samples, self.labels = samples, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return self.samples[row], self.labels[row]


class Stream(torch.utils.data.IterableDataset[tuple[Any, int]]):
    """A data set without a length."""

    def __iter__(self) -> Any:
        return iter(zip(torch.tensor(POINTS), LABELS, strict=True))


def test_a_data_set_of_torch_brings_samples_and_labels() -> None:
    for dataset in (Rows(torch.tensor(POINTS), LABELS), Rows(np.array(POINTS, dtype=np.float32), LABELS), Stream()):
        assert measure(half_space(), dataset, bounds=(-1, 1))["margin"].values.tolist() == pytest.approx(KNOWN)
    with pytest.raises(UsageError, match="x is a data set with labels of its own"):
        measure(half_space(), Stream(), LABELS, bounds=(-1, 1))
    with pytest.raises(ShapeError, match="give it a transform to tensors of one shape"):
        measure(half_space(), Rows([torch.zeros(2), torch.zeros(3)], [0, 1]), bounds=(-1, 1))
    with pytest.raises(ShapeError, match="no pairs of a sample and its label"):
        measure(half_space(), torch.utils.data.TensorDataset(torch.tensor(POINTS)), bounds=(-1, 1))


@pytest.mark.parametrize("change", [lambda g: -g, lambda g: g * (torch.arange(8) < 4), lambda g: g.clamp(-1e-3, 1e-3)])
@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (255.0, 100.0), (1e-4, 0.0)])
def test_a_gradient_that_a_hook_changes_gets_a_warning(
    change: Callable[[torch.Tensor], torch.Tensor], unit: float, shift: float
) -> None:
    stream = generator(0, "hooked")
    first, last = torch.randn(5, 8, generator=stream), torch.randn(8, 3, generator=stream)
    x = unit * torch.rand(8, 5, generator=stream) + shift

    def plain(z: torch.Tensor) -> torch.Tensor:
        return torch.tanh((z - shift) / unit @ first) @ last

    def hooked(z: torch.Tensor) -> torch.Tensor:
        hidden = (z - shift) / unit @ first
        if hidden.requires_grad:
            hidden.register_hook(change)
        return torch.tanh(hidden) @ last

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(plain, x, bounds=None)
    with pytest.warns(UserWarning, match=r"is not their slope at \d of 8 tried samples.*method bisection"):
        measure(hooked, x, bounds=None)


def test_a_model_that_rounds_its_input_gets_a_warning_and_bisection_finds_the_known_margin() -> None:
    layer = half_space()
    x = torch.rand(40, 2, generator=generator(0, "points"))
    x[:, 0] = x[:, 0] / 2 + 0.3

    def rounded(z: Tensor) -> Tensor:
        return layer((z * 15).round() / 15 - 0.5)

    with pytest.warns(
        UserWarning, match=r"gradient of the scores is zero at 8 of 8 tried samples.*bisection"
    ) as caught:
        found = measure(rounded, x, bounds=(0, 1))
    # It points at the line of the user.
    assert {one.filename for one in caught} == {__file__}
    assert "warning: the gradient is zero at most boundary points" in found.summary()
    exact = (x[:, 0] - 0.5).abs()
    measured = measure(rounded, x, probes=[Margin(method="bisection", max_passes=400)], bounds=(0, 1))
    # The boundary of the rounded model lies half a level beside that of the other.
    assert ((measured["margin"].values - exact).abs() <= 0.5 / 15 + 1e-3).all()
    assert "warning" not in measured.summary()


def test_probabilities_that_have_rounded_to_zero_and_one_get_a_warning() -> None:
    x = torch.tensor(POINTS)
    with (
        pytest.warns(UserWarning, match="their logarithms are measured"),
        pytest.warns(UserWarning, match="probabilities that have rounded to 0 and 1"),
    ):
        measure(lambda z: half_space(1e4)(z).softmax(1), x, bounds=(-1, 1))
    with pytest.warns(UserWarning, match="their logarithms are measured") as caught:
        measure(lambda z: half_space()(z).softmax(1), x, bounds=(-1, 1))
    assert not any("rounded" in str(one.message) for one in caught)


def test_an_accuracy_near_chance_is_said_wherever_the_numbers_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = torch.rand(40, 2, generator=generator(0, "points")) - 0.5
    # Every other sample has the label of the other side.
    y = ((x[:, 0] < 0) ^ (torch.arange(40) % 2 == 0)).long()
    text = "of predicting the most frequent class"
    measure(half_space(), x, y, bounds=(-1, 1), out=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert [text in sentence for sentence in run.info["summary"]["cautions"]] == [True]
    assert text in (run.path / "report.html").read_text()
    explain([str(run.path)])
    assert text in capsys.readouterr().out
    compared = read_comparison([run.path, run.path])
    (split,) = comparison_facts(compared)["splits"]
    assert [text in sentence for found in split["cautions"].values() for sentence in found] == [True, True]
    assert text in compare([run.path, run.path], tmp_path / "both.html").read_text()


def test_scores_of_nan_are_named_before_the_normalization() -> None:
    x = torch.rand(20, 2, generator=generator(0, "points"))
    summary = measure(lambda z: half_space()(z) * torch.nan, x, [0, 1] * 10, bounds=(0, 1)).summary()
    assert "the scores are nan" in summary and "normalization" not in summary
