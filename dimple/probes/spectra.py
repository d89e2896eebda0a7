"""Rates of change of a network's scores: operator norms of the layers, a Lipschitz bound, and Jacobians at the data."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from dimple.boundary.boundary import Boundary
from dimple.errors import ModelError
from dimple.linalg.operator_norm import circular_convolution_norm, operator_norm
from dimple.linalg.symmetric import symmetric_eigen
from dimple.tensors import chunks, flatten, generator, require_samples, unit_vectors
from dimple.tracing.trace import UnprovenOperationError
from dimple.verification.lipschitz import lipschitz_bound

# Modules that are affine maps, including operations inside such as padding.
AFFINE_LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
)  # fmt: skip
# Relative tolerance of the norms of permuted layers, which need less precision.
PERMUTED_NORM_TOLERANCE = 1e-3


@final
@dataclasses.dataclass(frozen=True)
class LayerSpectrum:
    """Norms of one affine layer as a linear map of its full input.

    Attributes:
        name: the name of the module, such as `layer1.0.conv1`.
        kind: its type, such as `Conv2d`.
        norm: the operator norm, which is the largest singular value.
        norm_null: the median operator norm with shuffled entries of the weight; nan for batch norm.
        frobenius: the root of the sum of all squared singular values; nan for batch norm and for padding modes with
            which it is not computed.
    """

    name: str
    kind: str
    norm: float
    norm_null: float
    frobenius: float

    @property
    def stable_rank(self) -> float:
        """The squared ratio of the Frobenius norm to the operator norm, at most the rank."""
        return (self.frobenius / self.norm) ** 2 if self.norm else math.nan


@final
@dataclasses.dataclass(frozen=True)
class Spectra:
    """Bounds of the rate of change of the scores, in l2 of the scores per l2 of the input.

    Attributes:
        layers: the layers in the order of evaluation.
        lipschitz_upper_bound: the Lipschitz bound of the scores; inf if an operation has no bound.
        unbounded_operations: the name of this operation.
        jacobian_norms: `(B,)`, the norm of the Jacobian at each sample.
        lipschitz_lower_bound: the largest Jacobian norm found at the samples and in the ascent from them.
    """

    layers: tuple[LayerSpectrum, ...]
    lipschitz_upper_bound: float
    unbounded_operations: tuple[str, ...]
    jacobian_norms: Tensor
    lipschitz_lower_bound: float

    @property
    def ratio(self) -> float:
        """The upper bound of the Lipschitz constant over the lower one."""
        return self.lipschitz_upper_bound / self.lipschitz_lower_bound if self.lipschitz_lower_bound else math.nan

    def rows(self) -> list[dict[str, str | float]]:
        """Return the rows of a table, one for each layer."""
        return [dataclasses.asdict(layer) | {"stable_rank": layer.stable_rank} for layer in self.layers]


def spectra(
    boundary: Boundary, x: Tensor, *, ascent_steps: int = 5, null_draws: int = 5, seed: int = 0, chunk_size: int = 64
) -> Spectra:
    """Measure the norms of a network's layers, its Lipschitz bound, and Jacobian norms at samples.

    The bound is the product of the norms of the affine maps between activations; a map of several layers, such as a
    convolution with batch normalization, has one norm. Where branches are added, their bounds are added: a residual
    block has one plus the bound of its residual branch. Activations and pools contribute their largest slopes. The
    difference of two scores changes at most sqrt(2) times as fast as the scores: a logit margin g proves a margin
    of g / (sqrt(2) bound).

    Args:
        boundary: the boundary of the network.
        x: samples `(B, *shape)`.
        ascent_steps: the number of steps from each sample in the direction of faster change, within the bounds.
        null_draws: the number of shuffles of the weight of each layer.
        seed: seed of the shuffles.
        chunk_size: the number of samples that are processed together.

    Raises:
        ModelError: if the classifier is a network in training mode.

    Reference: Szegedy et al. 2014, section 4.3; Gouk et al. 2021, Regularisation of neural networks by enforcing
    Lipschitz continuity, for residual blocks and pools.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).eval()
        >>> for layer in (network[0], network[2]):
        ...     _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> found = spectra(Boundary(network), torch.ones(1, 2))
        >>> round(found.lipschitz_upper_bound, 4), round(found.lipschitz_lower_bound, 4)
        (9.0, 9.0)
    """
    require_samples(x)
    layers = [_layer_spectrum(*layer, null_draws, seed) for layer in _evaluate_layers(boundary, x[:1])]
    unbounded: tuple[str, ...] = ()
    try:
        upper_bound = lipschitz_bound(boundary.model, x[0])
    except UnprovenOperationError as error:
        upper_bound = math.inf
        unbounded = (error.operation,)
    jacobian_norms: list[Tensor] = []
    lower_bound = 0.0
    mean_distance = flatten(x - x.mean(0)).norm(dim=1).mean() if len(x) > 1 else x.norm()
    for part in chunks(len(x), chunk_size):
        at_samples, largest = ascend_jacobian_norm(boundary, x[part], ascent_steps, 0.02 * float(mean_distance))
        jacobian_norms.append(at_samples)
        lower_bound = max(lower_bound, float(largest.max()))
    return Spectra(tuple(layers), upper_bound, unbounded, torch.cat(jacobian_norms), lower_bound)


def _evaluate_layers(boundary: Boundary, sample: Tensor) -> list[tuple[str, nn.Module, Tensor]]:
    """Return name, module and input of each affine layer, in the order in which they are evaluated at one sample."""
    network = boundary.model if isinstance(boundary.model, nn.Module) else nn.Module().eval()
    if any(module.training for module in network.modules()):
        raise ModelError(f"{type(network).__name__} is in training mode; call .eval() on it, or measure a frozen copy")
    found = []

    def make_hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda module, inputs, _: found.append((name, module, inputs[0].detach()))

    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, AFFINE_LAYERS)]
    hooks = [module.register_forward_hook(make_hook(name)) for name, module in layers]
    try:
        boundary.scores(sample)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _layer_spectrum(name: str, module: nn.Module, like: Tensor, null_draws: int, seed: int) -> LayerSpectrum:
    weights = dict(module.named_parameters())
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return LayerSpectrum(name, type(module).__name__, operator_norm(module, like), math.nan, math.nan)
    weight = weights["weight"].detach()
    null = []
    for draw in range(null_draws):
        order = torch.randperm(weight.numel(), generator=generator(seed, "shuffled layer", name, draw))
        shuffled = {"weight": weight.flatten()[order.to(weight.device)].reshape(weight.shape)}
        null.append(operator_norm(partial(functional_call, module, shuffled), like, PERMUTED_NORM_TOLERANCE))
    norm_null = sorted(null)[(null_draws - 1) // 2] if null else math.nan
    return LayerSpectrum(
        name, type(module).__name__, _spectral_norm(module, like), norm_null, _frobenius_norm(module, like)
    )


def _spectral_norm(module: nn.Module, like: Tensor) -> float:
    """Return the operator norm, exactly for matrices and circular convolutions, and by iteration for other layers."""
    if isinstance(module, nn.Linear):
        return float(torch.linalg.matrix_norm(module.weight.detach().double(), ord=2))
    if _is_circular_convolution(module, like):
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        return circular_convolution_norm(module.weight, tuple(like.shape[2:]), module.stride[0])
    return operator_norm(module, like)


def _is_circular_convolution(module: nn.Module, like: Tensor) -> bool:
    """Return whether the module is a circular convolution whose norm the Fourier transform gives."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or module.padding_mode != "circular":
        return False
    if module.padding == "valid":
        return False
    size = like.shape[2:]
    kernel = module.kernel_size
    stride = module.stride[0]
    padding = [k // 2 for k in kernel] if isinstance(module.padding, str) else list(module.padding)
    return (
        module.groups == 1
        and all(step == 1 for step in module.dilation)
        and all(step == stride for step in module.stride)
        and all(k % 2 == 1 and p == k // 2 and s >= k and s % stride == 0
                for k, p, s in zip(kernel, padding, size, strict=True))
    )  # fmt: skip


def _frobenius_norm(module: nn.Module, like: Tensor) -> float:
    """Return the Frobenius norm of the layer's matrix: the layer with squared weights sums its squared entries."""
    padding: str = vars(module).get("padding_mode", "zeros")
    if padding not in ("zeros", "circular"):
        return math.nan
    if padding == "circular" and isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        spans = [step * (k - 1) for k, step in zip(module.kernel_size, module.dilation, strict=True)]
        # On a smaller torus several weights are added in one entry.
        if any(span >= side for span, side in zip(spans, like.shape[2:], strict=True)):
            return math.nan
    squared = {name: value.detach().square() * (name == "weight") for name, value in module.named_parameters()}
    with torch.no_grad():
        total: Tensor = functional_call(module, squared, (torch.ones_like(like),)).sum()
    return math.sqrt(float(total))


def ascend_jacobian_norm(boundary: Boundary, x: Tensor, steps: int, radius: float) -> tuple[Tensor, Tensor]:
    """Return the Jacobian's norm at each sample, and the largest one in an ascent from it, both `(B,)`.

    The Jacobian is constant in each linear region of a ReLU network. The ascent therefore follows the change of the
    scores between the ends of a segment of half-length `radius` in the fastest direction, which depends on the
    neighboring regions.
    """
    first, axis = jacobian_norm(boundary, x)
    best = first
    points = x
    for _ in range(steps):
        with torch.enable_grad():
            leaf = points.detach().requires_grad_(True)
            change = boundary.model(leaf + radius * axis) - boundary.model(leaf - radius * axis)
            size = change.detach().abs().amax(1, keepdim=True).clamp(min=torch.finfo(change.dtype).tiny)
            (gradient,) = torch.autograd.grad((change / size).square().sum(), leaf)
        boundary.forwards += 2 * len(x)
        boundary.backwards += 2 * len(x)
        points = points + radius * unit_vectors(flatten(gradient)).reshape(x.shape)
        points = points if boundary.bounds is None else boundary.bounds.clamp(points)
        current, axis = jacobian_norm(boundary, points)
        best = torch.maximum(best, current)
    return first, best


def jacobian_norm(boundary: Boundary, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest singular value of the scores' Jacobian at each sample `(B,)`, and its input direction."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        scores = boundary.model(leaf)
        rows = []
        for column in range(scores.shape[1]):
            last = column == scores.shape[1] - 1
            (gradient,) = torch.autograd.grad(scores[:, column].sum(), leaf, retain_graph=not last)
            rows.append(flatten(gradient))
    boundary.forwards += len(x)
    boundary.backwards += scores.shape[1] * len(x)
    jacobian = torch.stack(rows, dim=1)
    size = jacobian.abs().amax((1, 2)).clamp(min=torch.finfo(jacobian.dtype).tiny)
    jacobian = jacobian / size[:, None, None]
    values, vectors = symmetric_eigen(jacobian @ jacobian.mT)
    axis = unit_vectors(torch.einsum("bk,bkn->bn", vectors[:, :, -1], jacobian))
    return size * values[:, -1].clamp(min=0).sqrt(), axis.reshape(x.shape)
