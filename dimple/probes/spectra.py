"""How fast the scores of a network can change: the norm of every layer, their product, and what is seen at the data."""

import dataclasses
import math
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from dimple.boundary.boundary import Boundary
from dimple.linalg.operator_norm import circular_norm, operator_norm
from dimple.tensors import chunks, flatten, generator, require_samples
from dimple.tracing.op_trace import Operation, record
from dimple.verification.lipschitz import lipschitz_bound

# A permuted layer need not be known to the last digit.
NULL_TOLERANCE = 1e-3


@final
@dataclasses.dataclass(frozen=True)
class LayerSpectrum:
    """One affine layer as a linear map of its whole input.

    Attributes:
        name, kind: of the module, such as `layer1.0.conv1` and `Conv2d`.
        norm: the operator norm, its largest singular value.
        norm_null: the median of the same when the entries of its weight are shuffled; nan for batch norm.
        frobenius: the root of the sum of all squared singular values; nan where padding makes it hard to tell.
    """

    name: str
    kind: str
    norm: float
    norm_null: float
    frobenius: float

    @property
    def stable_rank(self) -> float:
        """How many singular values there would be if all were as large as the largest: (Frobenius / norm) squared."""
        return (self.frobenius / self.norm) ** 2 if self.norm else math.nan


@final
@dataclasses.dataclass(frozen=True)
class Spectra:
    """How fast the scores can change, in l2 of the scores for l2 of the input.

    Attributes:
        layers: in the order in which they run.
        bound: no two inputs anywhere have scores that differ faster; inf where an operation has no bound.
        unbounded: the names of these operations.
        at_samples: `(B,)`, the norm of the Jacobian at each sample.
        lipschitz: the largest Jacobian norm met at the samples and while climbing from them: a lower bound.
    """

    layers: tuple[LayerSpectrum, ...]
    bound: float
    unbounded: tuple[str, ...]
    at_samples: Tensor
    lipschitz: float

    @property
    def ratio(self) -> float:
        """The bound over the largest rate that was met."""
        return self.bound / self.lipschitz if self.lipschitz else math.nan

    def rows(self) -> list[dict[str, str | float]]:
        """One entry a layer, as a table prints it."""
        return [dataclasses.asdict(layer) | {"stable_rank": layer.stable_rank} for layer in self.layers]


def spectra(
    boundary: Boundary, x: Tensor, *, climb: int = 5, draws: int = 5, seed: int = 0, chunk: int = 64
) -> Spectra:
    """Measure the layers of a network, the bound that they give, and how far from it the data are.

    A chain has the product of its layers' norms for a bound; where branches meet, theirs are added, so that a residual
    block counts one plus what stands beside its shortcut. Activations and pools count with their largest slopes. The
    gap between two scores changes at most sqrt(2) times as fast as the scores: a gap g proves a margin of
    g / (sqrt(2) bound).

    Args:
        x: samples `(B, *shape)` at which the rate is met.
        climb: steps from each sample towards where the scores change faster, inside the box.
        draws: how often the weights of each layer are shuffled for its null.

    Raises:
        ModelError: if the classifier is a network in training mode.

    Reference: Szegedy et al. 2014, section 4.3; Gouk et al. 2021, Regularisation of neural networks by enforcing
    Lipschitz continuity, for residual blocks and pools.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).eval()
        >>> for layer in (network[0], network[2]):
        ...     _ = layer.weight.data.copy_(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
        >>> found = spectra(Boundary(network), torch.ones(1, 2))
        >>> round(found.bound, 4), round(found.lipschitz, 4)
        (9.0, 9.0)
    """
    require_samples(x)
    tape = record(boundary.classifier, x[:1])
    boundary.forwards += 1
    layers, norms = [], {}
    for number, operation in enumerate(tape.operations, start=1):
        if operation.module is not None:
            layers.append(_layer(operation, operation.module, draws, seed))
            norms[number] = layers[-1].norm
    bound, unbounded = lipschitz_bound(tape, norms)
    at_samples, fastest = [], 0.0
    spread = flatten(x - x.mean(0)).norm(dim=1).mean() if len(x) > 1 else x.norm()
    for part in chunks(len(x), chunk):
        here, after = climbed(boundary, x[part], climb, 0.02 * float(spread))
        at_samples.append(here)
        fastest = max(fastest, float(after.max()))
    return Spectra(tuple(layers), bound, tuple(unbounded), torch.cat(at_samples), fastest)


def _layer(operation: Operation, module: nn.Module, draws: int, seed: int) -> LayerSpectrum:
    like = operation.like[0]
    weights = dict(module.named_parameters())
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        none = math.nan
        return LayerSpectrum(operation.name, type(module).__name__, operator_norm(module, like), none, none)
    weight = weights["weight"].detach()
    null = []
    for draw in range(draws):
        order = torch.randperm(weight.numel(), generator=generator(seed, "shuffled layer", operation.name, draw))
        shuffled = {"weight": weight.flatten()[order.to(weight.device)].reshape(weight.shape)}
        null.append(operator_norm(lambda v: functional_call(module, shuffled, (v,)), like, NULL_TOLERANCE))  # noqa: B023
    typical = sorted(null)[(draws - 1) // 2] if null else math.nan
    return LayerSpectrum(operation.name, type(module).__name__, _norm(module, like), typical, _frobenius(module, like))


def _norm(module: nn.Module, like: Tensor) -> float:
    """Exact where linear algebra has it, else by products."""
    if isinstance(module, nn.Linear):
        return float(torch.linalg.matrix_norm(module.weight.detach().double(), ord=2))
    if _is_torus(module, like):
        assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        return circular_norm(module.weight, tuple(like.shape[2:]), module.stride[0])
    return operator_norm(module, like)


def _is_torus(module: nn.Module, like: Tensor) -> bool:
    """Whether the Fourier transform knows this convolution: it goes round a torus that its stride divides."""
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) or module.padding_mode != "circular":
        return False
    if module.padding == "valid":
        return False
    size, kernel, stride = like.shape[2:], module.kernel_size, module.stride[0]
    around = [k // 2 for k in kernel] if isinstance(module.padding, str) else list(module.padding)
    return (
        module.groups == 1
        and all(step == 1 for step in module.dilation)
        and all(step == stride for step in module.stride)
        and all(k % 2 == 1 and p == k // 2 and s >= k and s % stride == 0
                for k, p, s in zip(kernel, around, size, strict=True))
    )  # fmt: skip


def _frobenius(module: nn.Module, like: Tensor) -> float:
    """The squared weights applied to ones count every entry of the layer's matrix as often as it stands there."""
    padding: str = vars(module).get("padding_mode", "zeros")
    if padding not in ("zeros", "circular"):
        return math.nan
    if padding == "circular" and isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        spans = [step * (k - 1) for k, step in zip(module.kernel_size, module.dilation, strict=True)]
        # Round a smaller torus several weights meet in one entry.
        if any(span >= side for span, side in zip(spans, like.shape[2:], strict=True)):
            return math.nan
    squared = {name: value.detach().square() * (name == "weight") for name, value in module.named_parameters()}
    with torch.no_grad():
        total: Tensor = functional_call(module, squared, (torch.ones_like(like),)).sum()
    return math.sqrt(float(total))


def climbed(boundary: Boundary, x: Tensor, steps: int, radius: float) -> tuple[Tensor, Tensor]:
    """The Jacobian's norm at each sample, and the largest met on the way from it, both `(B,)`.

    A Jacobian is constant inside each piece of a ReLU network, so the climb follows the change of the scores over a
    chord of `radius` along the fastest direction, which feels the pieces around.
    """
    first, axis = jacobian_norm(boundary, x)
    best, here = first, x
    for _ in range(steps):
        with torch.enable_grad():
            leaf = here.detach().requires_grad_(True)
            chord = boundary.classifier(leaf + radius * axis) - boundary.classifier(leaf - radius * axis)
            (uphill,) = torch.autograd.grad(chord.square().sum(), leaf)
        boundary.forwards += 2 * len(x)
        boundary.backwards += 2 * len(x)
        here = here + radius * normalize(flatten(uphill), dim=1).reshape(x.shape)
        here = here if boundary.box is None else boundary.box.clamp(here)
        now, axis = jacobian_norm(boundary, here)
        best = torch.maximum(best, now)
    return first, best


def jacobian_norm(boundary: Boundary, x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest singular value of the scores' Jacobian at each sample `(B,)`, and its direction in the input."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        scores = boundary.classifier(leaf)
        rows = []
        for column in range(scores.shape[1]):
            last = column == scores.shape[1] - 1
            (gradient,) = torch.autograd.grad(scores[:, column].sum(), leaf, retain_graph=not last)
            rows.append(flatten(gradient))
    boundary.forwards += len(x)
    boundary.backwards += scores.shape[1] * len(x)
    jacobian = torch.stack(rows, dim=1)
    squares, mixes = torch.linalg.eigh(jacobian @ jacobian.mT)
    axis = normalize(torch.einsum("bk,bkn->bn", mixes[:, :, -1], jacobian), dim=1)
    return squares[:, -1].clamp(min=0).sqrt(), axis.reshape(x.shape)
