"""A small autoencoder that is fitted to data, as an estimate of the data manifold."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from dimple.errors import DivergedError, ModelError
from dimple.progress import silent_progress
from dimple.protocols import Progress
from dimple.settings import Count, Positive, settings
from dimple.tensors import flatten

# The entry of a file that says which networks its weights belong to.
METADATA = "autoencoder"
# The weights of a layer of a file at most: those of images of 224 x 224 pixels in three channels.
MAX_WEIGHTS = 10**8


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

    def fit(
        self, points: Tensor, generator: torch.Generator, progress: Progress = silent_progress
    ) -> tuple[nn.Sequential, nn.Sequential]:
        """Return the encoder `(B, *shape)` to `(B, m)` and the decoder back, with fixed weights, in the points' dtype.

        Args:
            points: `(N, *shape)`, N >= 2, not all equal; the networks are on their device.
            generator: of the weights and the batches, on the CPU.
            progress: shows the steps.

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
        encoder, decoder = self._build_networks(rows.shape[1], generator)
        encoder.to(rows), decoder.to(rows)
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        scaled = (rows - mean) / scale
        with progress("fit", self.steps) as advance:
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
                advance()
        return _with_scales(encoder, decoder, mean, scale, points.shape[1:])

    def _build_networks(
        self, coordinates: int, generator: torch.Generator | None = None
    ) -> tuple[nn.Sequential, nn.Sequential]:
        sizes = [coordinates, *self.widths, self.latent]
        return _build_tanh_mlp(sizes, generator), _build_tanh_mlp(sizes[::-1], generator)

    def to_bytes(self, encoder: nn.Sequential, decoder: nn.Sequential) -> bytes:
        """Return the networks of `fit` as a safetensors file, for `read_autoencoder`."""
        weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
        weights |= {f"decoder.{name}": value for name, value in decoder.state_dict().items()}
        unflatten = decoder[-1]
        assert isinstance(unflatten, nn.Unflatten)
        about = {**dataclasses.asdict(self), "shape": list(unflatten.unflattened_size)}
        return save({name: value.cpu().contiguous() for name, value in weights.items()}, {METADATA: json.dumps(about)})


def read_autoencoder(path: Path) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the encoder and the decoder of a file from `Autoencoder.to_bytes`, on the CPU.

    Raises:
        ModelError: if the file cannot be read, or is of another kind.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        shape = torch.Size(about.pop("shape"))
        model = Autoencoder(**about | {"widths": tuple(about["widths"])})
        if 3 * math.prod(shape) * max(model.widths, default=model.latent) > MAX_WEIGHTS:
            raise ValueError(f"samples of {math.prod(shape)} numbers")
        mean = weights["decoder.1.shift"]
        scale = weights["decoder.1.factor"]
        encoder, decoder = (network.to(mean) for network in model._build_networks(math.prod(shape)))
        encoder, decoder = _with_scales(encoder, decoder, mean, scale, shape)
        for name, network in (("encoder.", encoder), ("decoder.", decoder)):
            own = {key.removeprefix(name): value for key, value in weights.items() if key.startswith(name)}
            network.load_state_dict(own)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, AttributeError) as error:
        cause = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: holds no autoencoder of dimple ({cause}); leave it out to train one") from None
    return encoder, decoder


def _with_scales(
    encoder: nn.Sequential, decoder: nn.Sequential, mean: Tensor, scale: Tensor, shape: torch.Size
) -> tuple[nn.Sequential, nn.Sequential]:
    """Return the networks from samples to codes and back, with fixed weights."""
    encoder = nn.Sequential(nn.Flatten(), ElementwiseAffine(1 / scale, -mean / scale), encoder)
    decoder = nn.Sequential(decoder, ElementwiseAffine(scale, mean), nn.Unflatten(1, shape))
    return encoder.eval().requires_grad_(False), decoder.eval().requires_grad_(False)


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


def _build_tanh_mlp(sizes: list[int], generator: torch.Generator | None) -> nn.Sequential:
    """Return linear layers with tanh between them, initialized by Glorot's uniform rule."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.Tanh()]
    return nn.Sequential(*layers[:-1])
