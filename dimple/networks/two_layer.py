"""Two-layer ReLU networks with one logit, of the theory of data in a linear subspace."""

import math
from typing import Literal, final

import torch
from torch import nn

from dimple.errors import SceneError
from dimple.networks.architecture import Architecture, count_features, initialize, scale_layers, sequence
from dimple.networks.wrappers import add_second_logit
from dimple.settings import Count, Flag, Positive, settings


@final
@settings
class TwoLayer(Architecture):
    """The network N(x) = sum_i u_i relu(w_i . x + b_i) + c of two classes, with the scores (0, N(x)).

    The theory of the reference is about `bias: false` and `output: signs`: u_i = +-1/sqrt(m) at random, without c and
    not trained, and w_i from the normal distribution of variance 1/n. There training on data in a linear subspace never
    changes the parts of the w_i orthogonal to it, and the gradient of N orthogonal to it keeps its length, about
    sqrt(k l / (m n)) for k active units of m and a subspace of codimension l.

    Args:
        width: number m of hidden units.
        init: distribution of the initial weights, `normal` of variance 1/fan_in or PyTorch's `uniform` in
            +-1/sqrt(fan_in).
        init_scale: factor of all initial weights and biases but the signs. The code of the reference divides the
            weights, not the biases.
        bias: whether the units have biases b_i and c, initially uniform in +-1/sqrt(fan_in).
        output: `trained` for weights u_i that are trained, or `signs`.

    Reference: Melamed, Yehudai, Vardi 2023, Adversarial examples exist in two-layer ReLU networks for low dimensional
        linear subspaces.

    Example:
        >>> network = TwoLayer(width=4, bias=False, output="signs").build(3, torch.Generator())
        >>> network(torch.zeros(1, 3))
        tensor([[0., 0.]], grad_fn=<CatBackward0>)
        >>> unwrapped = network.module
        >>> unwrapped[-1].weight.abs(), unwrapped[-1].weight.requires_grad
        (tensor([[0.5000, 0.5000, 0.5000, 0.5000]]), False)
    """

    width: Count = 100
    init: Literal["normal", "uniform"] = "normal"
    init_scale: Positive = 1.0
    bias: Flag = True
    output: Literal["trained", "signs"] = "trained"

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        if classes != 2:
            raise SceneError(f"network.kind is 'two_layer', which has two classes; the data have {classes}: choose mlp")
        hidden = nn.Linear(count_features(shape), self.width, bias=self.bias, device="meta")
        output = nn.Linear(self.width, 1, bias=self.bias and self.output == "trained", device="meta")
        network = sequence(shape, [hidden, nn.ReLU(), output])
        initialize(network, generator)
        with torch.no_grad():
            if self.init == "normal":
                for layer in (hidden, output):
                    layer.weight.normal_(0, layer.in_features**-0.5, generator=generator)
            scale_layers(network, self.init_scale)
            if self.output == "signs":
                signs = 2.0 * torch.randint(2, (1, self.width), generator=generator) - 1
                output.weight.copy_(signs / math.sqrt(self.width))
        output.weight.requires_grad_(self.output == "trained")
        return add_second_logit(network)
