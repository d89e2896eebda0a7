"""Total variation of the activations of convolutions, on clean and noisy images, and of their kernels."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from dimple.claims.experiments.base import Row
from dimple.tensors import generator, total_variation

# The standard deviation of the noise: enough for outliers in the first layer of standard networks on 28 x 28 pixels.
NOISE = 0.2
# A channel whose total variation changes by this fraction of the mean of all channels of the standard network is an
# outlier, as in the authors' script.
OUTLIER_CHANGE = 0.2
# A filter with this fraction of the largest norm of its layer is dead.
DEAD_NORM = 1e-3
SHUFFLES = 10


def convolutions(network: nn.Module) -> list[tuple[str, nn.Conv2d]]:
    """Return the convolutions of a network over more than one pixel, in order, with their names."""
    return [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)
    ]


@torch.no_grad()
def activations(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the output `(B, C, h, w)` of each convolution, by its name."""
    found: dict[str, Tensor] = {}
    hooks = []
    for name, module in convolutions(network):

        def keep(_module: nn.Module, _inputs: object, output: Tensor, name: str = name) -> None:
            found[name] = output

        hooks.append(module.register_forward_hook(keep))
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def compare_activations(robust: nn.Module, standard: nn.Module, x: Tensor, _y: Tensor, seed: int) -> Row:
    """Return how much noise changes the total variation of each channel, by the rule of the authors' script.

    Columns: `outliers_robust` and `outliers_standard`, the fraction of channels whose total variation, a mean over the
    images, noise changes by more than a fifth of the mean of the standard network's channels; the mean over the
    convolutions. `outlier_difference`, standard minus robust; `outlier_difference_first` and `outlier_difference_last`,
    that of the first and the last convolution; `change_ratio`, the mean change of the robust network's channels over
    that of the standard one's, and `change_ratio_first`; `clean_variation`, the median over all channels of the total
    variation of the robust network over that of the standard one.
    """
    noise = NOISE * torch.randn(x.shape, generator=generator(seed, "activation noise")).to(x)
    clean = {}
    noisy = {}
    for name, network in (("robust", robust), ("standard", standard)):
        clean[name] = [total_variation(part).mean(0) for part in activations(network, x).values()]
        noisy[name] = [total_variation(part).mean(0) for part in activations(network, (x + noise).clamp(0, 1)).values()]
    outliers = {
        name: [
            float(((changed - own).abs() >= OUTLIER_CHANGE * reference.mean()).double().mean())
            for own, changed, reference in zip(clean[name], noisy[name], clean["standard"], strict=True)
        ]
        for name in clean
    }
    differences = [s - r for s, r in zip(outliers["standard"], outliers["robust"], strict=True)]
    changes = {
        name: [float((changed - own).abs().mean()) for own, changed in zip(clean[name], noisy[name], strict=True)]
        for name in clean
    }
    change_ratios = [r / s for r, s in zip(changes["robust"], changes["standard"], strict=True)]
    ratio = torch.cat(clean["robust"]) / torch.cat(clean["standard"])
    return {
        "outliers_robust": _mean(outliers["robust"]),
        "outliers_standard": _mean(outliers["standard"]),
        "outlier_difference": _mean(differences),
        "outlier_difference_first": differences[0],
        "outlier_difference_last": differences[-1],
        "change_ratio": _mean(change_ratios),
        "change_ratio_first": change_ratios[0],
        "clean_variation": float(ratio.quantile(0.5, interpolation="lower")),
    }


def compare_kernels(robust: nn.Module, standard: nn.Module, _x: Tensor, _y: Tensor, seed: int) -> Row:
    """Return the total variation of the kernels in the same units: over that of the same numbers in random order.

    Columns: `kernel_robust` and `kernel_standard`, the mean over the convolutions; `kernel_ratio`, the first over the
    second; `kernel_ratio_first`, that of the first convolution; `kernel_raw_ratio`, of the total variations themselves;
    `dead_robust` and `dead_standard`, the fraction of filters without weight, which are left out.
    """
    stream = generator(seed, "kernels")
    relative: dict[str, list[float]] = {}
    raw: dict[str, float] = {}
    dead: dict[str, float] = {}
    for name, network in (("robust", robust), ("standard", standard)):
        weights = [module.weight.detach() for _, module in convolutions(network)]
        alive = [_alive(weight) for weight in weights]
        dead[name] = 1 - float(torch.cat(alive).double().mean())
        kept = [weight[rows] for weight, rows in zip(weights, alive, strict=True)]
        relative[name] = [_relative_variation(weight, stream) for weight in kept]
        raw[name] = _mean([float(total_variation(weight).mean()) for weight in kept])
    return {
        "kernel_robust": _mean(relative["robust"]),
        "kernel_standard": _mean(relative["standard"]),
        "kernel_ratio": _mean(relative["robust"]) / _mean(relative["standard"]),
        "kernel_ratio_first": relative["robust"][0] / relative["standard"][0],
        "kernel_raw_ratio": raw["robust"] / raw["standard"],
        "dead_robust": dead["robust"],
        "dead_standard": dead["standard"],
    }


def _alive(weight: Tensor) -> Tensor:
    """Return which filters `(C_out, C_in, h, w)` have weight."""
    norms: Tensor = torch.linalg.vector_norm(weight.flatten(1), dim=1)
    is_alive: Tensor = norms > DEAD_NORM * norms.max()
    return is_alive


def _relative_variation(weight: Tensor, stream: torch.Generator) -> float:
    """Return the total variation of kernels `(C_out, C_in, h, w)` over that with the pixels of each in random order."""
    shuffled = torch.stack([total_variation(one) for one in _shuffles(weight, stream)]).mean()
    return float(total_variation(weight).mean() / shuffled)


def _shuffles(weight: Tensor, stream: torch.Generator) -> Iterator[Tensor]:
    for _ in range(SHUFFLES):
        order = torch.rand(weight.flatten(2).shape, generator=stream).argsort(2).to(weight.device)
        yield weight.flatten(2).gather(2, order).reshape(weight.shape)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
