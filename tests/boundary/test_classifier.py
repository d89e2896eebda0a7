"""Preparation of a model: eval mode, its own output, and refusal of what is no function of one sample."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.boundary.classifier import prepare_classifier
from dimple.errors import ModelError
from dimple.tensors import generator

WEIGHT = torch.ones(2, 3, requires_grad=True)
X = torch.randn(12, 3, generator=generator(0, "samples"))


def linear(classes: int = 2) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, 3, classes)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator(1, "weights")))
    return layer


def test_dropout_and_batch_norm_are_in_eval_mode_and_come_back() -> None:
    network = nn.Sequential(linear(4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    network[2].eval()
    running = network[1].running_mean.clone()
    context = prepare_classifier(network, X)
    with pytest.warns(UserWarning, match="was in training mode"):
        classifier = context.__enter__()
    assert torch.equal(classifier(X), classifier(X))
    assert not network.training
    context.__exit__(None, None, None)
    assert [module.training for module in network] == [True, True, False, True]
    assert network.training and torch.equal(network[1].running_mean, running)


def test_a_mode_comes_back_after_an_error() -> None:
    network = nn.Sequential(linear()).train()
    context = prepare_classifier(network, X)
    with pytest.warns(UserWarning, match="was in training mode"):
        context.__enter__()
    with pytest.raises(ZeroDivisionError):
        context.gen.throw(ZeroDivisionError())  # type: ignore[attr-defined]
    assert network.training


def test_a_random_classifier_is_refused() -> None:
    layer = linear()
    with pytest.raises(ModelError, match="other scores for the same samples"):
        prepare_classifier(lambda x: layer(x) + torch.randn(len(x), 2) * 0.01, X).__enter__()
    with pytest.raises(ModelError, match="other scores for the same samples"):
        prepare_classifier(lambda x: layer(nn.functional.dropout(x, training=True)), X).__enter__()


@pytest.mark.parametrize("asks", [lambda x: torch.is_grad_enabled(), lambda x: x.requires_grad])
def test_a_classifier_that_depends_on_the_gradient_mode_is_refused(asks: Callable[[Tensor], bool]) -> None:
    layer = linear()
    with pytest.raises(ModelError, match="where gradients are computed"):
        prepare_classifier(lambda x: layer(x) + asks(x) * torch.tensor([1.0, 0.0]), X).__enter__()
    # Without a search that needs gradients, none is computed.
    with prepare_classifier(lambda x: layer(x) + asks(x) * torch.tensor([1.0, 0.0]), X, gradient_users=()):
        pass


def test_a_classifier_of_batches_is_refused() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), linear()).eval()
    with pytest.raises(ModelError, match="also alone in its batch"):
        prepare_classifier(network, X).__enter__()
    layer = linear()
    with pytest.raises(ModelError, match="depend on the other samples"):
        prepare_classifier(lambda x: layer(x - x.mean(0)), X).__enter__()


def test_a_model_that_writes_into_its_input_gets_copies() -> None:
    layer = linear()
    original = X.clone()

    def model(x: Tensor) -> Tensor:
        return layer(x.sub_(0.5).div_(0.25))

    with prepare_classifier(model, X) as classifier:
        leaf = X.clone().requires_grad_(True)
        scores = classifier(leaf)
        scores[:, 0].sum().backward()
        assert torch.allclose(scores, layer((X - 0.5) / 0.25))
        assert leaf.grad is not None and torch.allclose(leaf.grad[0], layer.weight[0] / 0.25)
    assert torch.equal(X, original)


class Counting(nn.Module):
    """A network that counts its forward passes in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        scores: Tensor = self.layer(x)
        return scores


def test_a_model_that_writes_into_its_buffers_is_copied() -> None:
    network = Counting().eval()
    with prepare_classifier(network, X) as classifier:
        classifier(X)
        assert classifier.model is not network
    assert int(network.calls) == 0


def test_lazy_layers_get_their_shapes() -> None:
    network = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2)).eval()
    with prepare_classifier(network, X) as classifier:
        assert classifier(X).shape == (12, 2)


@pytest.mark.parametrize(
    "wrap",
    [lambda scores: scores[:, 0] - scores[:, 1], lambda scores: (scores[:, 0] - scores[:, 1])[:, None]],
    ids=["(B,)", "(B, 1)"],
)
def test_one_logit_stands_for_two_scores(wrap: Callable[[Tensor], Tensor]) -> None:
    layer = linear()
    with prepare_classifier(lambda x: wrap(layer(x)), X) as classifier:
        scores = classifier(X)
    assert torch.allclose(scores[:, 1] - scores[:, 0], layer(X)[:, 0] - layer(X)[:, 1], atol=1e-6)


def test_scores_are_named_in_an_output_of_several_parts() -> None:
    layer = linear()
    parts: list[tuple[Callable[[Tensor], object], str | int]] = [
        (lambda x: (x, layer(x)), 1),
        (lambda x: {"logits": layer(x)}, "logits"),
        (lambda x: SimpleNamespace(logits=layer(x)), "logits"),
    ]
    for model, output in parts:
        with prepare_classifier(model, X, output=output) as classifier:
            assert torch.equal(classifier(X), layer(X))
        with pytest.raises(ModelError, match="name them by output="):
            prepare_classifier(model, X).__enter__()
    with pytest.raises(ModelError, match=r"output is 'scores', and the model returns a dict with the keys logits"):
        prepare_classifier(parts[1][0], X, output="scores").__enter__()


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (lambda x: torch.zeros(len(x), 2, 1, 1), "scores are"),
        (lambda x: torch.zeros(len(x), 2, dtype=torch.long), "scores are real numbers"),
        (lambda x: "scores", "returns a str"),
        (lambda x: torch.zeros(3, 2), "scores are"),
        (lambda x: x.detach()[:, :2] * 2, "have no gradient"),
        (lambda x: nn.functional.linear((x * 255).to(torch.uint8).float(), WEIGHT), "have no gradient"),
        (lambda x: nn.functional.one_hot(x.argmax(1), 3).float(), "have no gradient"),
    ],
)
def test_what_gives_no_scores_is_refused(model: Callable[[Tensor], object], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint):
        prepare_classifier(model, X).__enter__()


def test_a_refusal_names_what_needs_a_gradient_and_the_method_that_needs_none() -> None:
    context = prepare_classifier(lambda x: x.detach()[:, :2], X, gradient_users=["margin", "onoff"])
    with pytest.raises(ModelError, match=r"which margin and onoff need; .* margin alone with the method bisection"):
        context.__enter__()


def test_without_need_of_a_gradient_none_is_asked_for() -> None:
    with prepare_classifier(lambda x: x.detach()[:, :2], X, gradient_users=()) as classifier:
        assert classifier(X).shape == (12, 2)


def test_networks_in_half_precision_give_scores_in_single_precision() -> None:
    network = linear().bfloat16().eval()
    with prepare_classifier(network, X) as classifier:
        assert classifier(X).dtype == torch.float32


def test_preprocessing_keeps_the_units_of_the_data() -> None:
    layer = linear(2)
    images = torch.rand(4, 3, 2, 2, generator=generator(3, "images"))
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)

    def model(x: Tensor) -> Tensor:
        return layer(x.mean((2, 3)))

    with prepare_classifier(model, images, preprocessing=(mean, std)) as classifier:
        normalized = (images - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)
        assert torch.allclose(classifier(images), model(normalized), atol=1e-6)
    with pytest.raises(ModelError, match="preprocessing has 2 channels"):
        prepare_classifier(model, images, preprocessing=((0.1, 0.2), (1.0, 1.0))).__enter__()
    with pytest.raises(ModelError, match="std > 0"):
        prepare_classifier(model, images, preprocessing=(0.1, 0.0)).__enter__()  # type: ignore[arg-type]


def test_inside_inference_mode_gradients_are_there() -> None:
    layer = linear()
    layer.eval()
    with torch.inference_mode(), prepare_classifier(layer, X.clone()) as classifier:
        assert classifier(torch.zeros(2, 3)).shape == (2, 2)


class LowPrecision(nn.Module):
    """A network in single precision whose forward pass is in bfloat16, with other rounding in a larger batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layer.bfloat16()(x.bfloat16())
        return (scores * (1 if len(x) > 1 else 1.01)).float()


def test_rounding_is_that_of_the_lowest_precision_within_a_network() -> None:
    with prepare_classifier(LowPrecision().eval(), X) as classifier:
        assert classifier(X).dtype == torch.float32
    single = linear()
    with (
        pytest.raises(ModelError, match="depend on the other samples"),
        prepare_classifier(lambda x: single(x) * (1 if len(x) > 1 else 1.01), X),
    ):
        pass


# The compiler of torch warns when it is imported.
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_forward_pass_has_all_its_derivatives() -> None:
    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = linear(2)

        @torch.compile
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).tanh()

    network = Compiled().eval()
    y = torch.zeros(12, dtype=torch.long)
    with prepare_classifier(network, X) as classifier:
        gradient, multiply = Boundary(classifier).logit_margin_hessian(X, y)
        product = multiply(torch.ones_like(X))
    expected, multiply_expected = Boundary(lambda x: network.layer(x).tanh()).logit_margin_hessian(X, y)
    assert torch.allclose(gradient, expected)
    assert torch.allclose(product, multiply_expected(torch.ones_like(X)))


def test_one_sample_alone_does_not_hide_a_classifier_of_batches() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), linear())
    layer = linear()
    for model in (network.eval(), lambda x: layer(x - x.mean(0))):
        with pytest.raises(ModelError, match="a function of one sample"):
            prepare_classifier(model, torch.tensor([[0.1, 0.5, 0.7]])).__enter__()


def test_samples_in_double_precision_are_measured_by_a_function_in_single_precision() -> None:
    layer = nn.Linear(300, 2)
    x = torch.rand(8, 300, dtype=torch.float64)
    with prepare_classifier(lambda x: layer(x.float()), x) as classifier:
        assert classifier(x).dtype == torch.float64
    with pytest.raises(ModelError, match="depend on the other samples"):
        prepare_classifier(lambda x: layer((x + 1e-2 * x.mean(0)).float()), x).__enter__()
