"""A small autoencoder, trained on the spot: the data manifold as a network draws it."""

import itertools
from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import DivergedError, ModelError
from dimple.settings import Count, Positive, settings
from dimple.tensors import flatten


@final
@settings
class Autoencoder:
    """An encoder n - widths - latent and its mirror image, with smooth units, fitted to points by Adam.

    Smooth, so that its decoder has a tangent space everywhere. Inputs are centred and scaled to unit root mean square
    within the networks, so that neither depends on the units of the data.

    Args:
        latent: m, the dimension of the code, and of the manifold that the decoder draws.
        widths: units of the encoder's hidden layers; the decoder has them the other way round.
        steps: of the optimiser.
        lr: its first step size, which falls to zero along a cosine.
        batch: points a step.

    Example:
        >>> t = torch.linspace(0, 1, 64)[:, None]
        >>> encoder, decoder = Autoencoder(latent=1, steps=20).fit(torch.cat([t, t * t], 1), torch.Generator())
        >>> encoder(torch.zeros(3, 2)).shape, decoder(torch.zeros(3, 1)).shape
        (torch.Size([3, 1]), torch.Size([3, 2]))
    """

    latent: Count = 2
    widths: tuple[Count, ...] = (64, 64)
    steps: Count = 2000
    lr: Positive = 3e-3
    batch: Count = 256

    def fit(self, points: Tensor, generator: torch.Generator) -> tuple[nn.Sequential, nn.Sequential]:
        """Encoder `(B, *shape)` to `(B, m)` and decoder back, frozen, in the dtype and on the device of the points.

        Args:
            points: `(N, *shape)`, N >= 2, not all equal.
            generator: on the CPU; draws the weights and the batches.

        Raises:
            ModelError: for points that cannot be scaled.
            DivergedError: if the loss leaves the finite numbers.
        """
        rows = flatten(points)
        mean, scale = rows.mean(0), (rows - rows.mean(0)).square().mean().sqrt()
        if len(rows) < 2 or not bool(scale > 0) or not bool(scale.isfinite()):
            raise ModelError(
                f"Autoencoder: {len(rows)} points with a spread of {float(scale):g}; give points that differ"
            )
        encoder, decoder = self._networks(rows, generator)
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimiser = torch.optim.Adam(parameters, lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.steps)
        scaled = (rows - mean) / scale
        for step in range(self.steps):
            index = torch.randint(len(rows), (min(self.batch, len(rows)),), generator=generator)
            x = scaled[index.to(rows.device)]
            loss = (decoder(encoder(x)) - x).square().mean()
            if not bool(loss.isfinite()):
                raise DivergedError(f"Autoencoder: the loss is {loss.item()} at step {step}; lower lr ({self.lr})")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        into = nn.Sequential(nn.Flatten(), Affine(1 / scale, -mean / scale), encoder)
        back = nn.Sequential(decoder, Affine(scale, mean), nn.Unflatten(1, points.shape[1:]))
        return into.eval().requires_grad_(False), back.eval().requires_grad_(False)

    def _networks(self, rows: Tensor, generator: torch.Generator) -> tuple[nn.Sequential, nn.Sequential]:
        sizes = [rows.shape[1], *self.widths, self.latent]
        return _tower(sizes, generator).to(rows), _tower(sizes[::-1], generator).to(rows)


@final
class Affine(nn.Module):
    """`factor x + shift`, in every coordinate."""

    factor: Tensor
    shift: Tensor

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Rows `(B, n)` to rows `(B, n)`."""
        return self.factor * x + self.shift


def _tower(sizes: list[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with tanh between them, from Glorot's uniform rule."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
