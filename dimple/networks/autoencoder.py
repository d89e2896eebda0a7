"""A small autoencoder that is fitted to data, as an estimate of the data manifold."""

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
    """An encoder n - widths - latent with smooth units and a decoder of the reverse shape, fitted to points by Adam.

    Smooth units give the decoder a tangent space everywhere. The networks center their inputs and scale them to unit
    root mean square, so that the result does not depend on the units of the data.

    Args:
        latent: m, the dimension of the code and of the image of the decoder.
        widths: units of the encoder's hidden layers; the decoder has them in reverse order.
        steps: number of steps of the optimizer.
        lr: initial learning rate, which decreases to zero along a cosine.
        batch: points per step.

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
        """Return the encoder `(B, *shape)` to `(B, m)` and the decoder back, with fixed weights, in the points' dtype.

        Args:
            points: `(N, *shape)`, N >= 2, not all equal; the networks are on their device.
            generator: of the weights and the batches, on the CPU.

        Raises:
            ModelError: if the points cannot be scaled.
            DivergedError: if the loss is not finite.
        """
        rows = flatten(points)
        mean = rows.mean(0)
        scale = (rows - mean).square().mean().sqrt()
        if len(rows) < 2 or not bool(scale > 0) or not bool(scale.isfinite()):
            raise ModelError(
                f"Autoencoder: {len(rows)} points with a standard deviation of {float(scale):g}; "
                "give points that differ"
            )
        encoder, decoder = self._build_networks(rows, generator)
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        scaled = (rows - mean) / scale
        for step in range(self.steps):
            index = torch.randint(len(rows), (min(self.batch, len(rows)),), generator=generator)
            x = scaled[index.to(rows.device)]
            loss = (decoder(encoder(x)) - x).square().mean()
            if not bool(loss.isfinite()):
                raise DivergedError(f"Autoencoder: the loss is {loss.item()} at step {step}; lower lr ({self.lr})")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        encoder = nn.Sequential(nn.Flatten(), ElementwiseAffine(1 / scale, -mean / scale), encoder)
        decoder = nn.Sequential(decoder, ElementwiseAffine(scale, mean), nn.Unflatten(1, points.shape[1:]))
        return encoder.eval().requires_grad_(False), decoder.eval().requires_grad_(False)

    def _build_networks(self, rows: Tensor, generator: torch.Generator) -> tuple[nn.Sequential, nn.Sequential]:
        sizes = [rows.shape[1], *self.widths, self.latent]
        return _build_tanh_mlp(sizes, generator).to(rows), _build_tanh_mlp(sizes[::-1], generator).to(rows)


@final
class ElementwiseAffine(nn.Module):
    """The map `factor x + shift` in every coordinate."""

    factor: Tensor
    shift: Tensor

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows `(B, n)` to rows `(B, n)`."""
        return self.factor * x + self.shift


def _build_tanh_mlp(sizes: list[int], generator: torch.Generator) -> nn.Sequential:
    """Return linear layers with tanh between them, initialized by Glorot's uniform rule."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
