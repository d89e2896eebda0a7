"""A linear classifier on the code of a sparse autoencoder, whose weights are not trained with the labels."""

from typing import final

import torch
from torch import Tensor, nn

from dimple.errors import DivergedError
from dimple.networks.architecture import Architecture, count_features, initialize, sequence
from dimple.settings import Count, Fraction, NonNegative, Positive, settings
from dimple.tensors import flatten


@final
@settings
class AutoencoderClassifier(Architecture):
    """A layer of sigmoid units that encodes samples, fitted without labels, and a linear layer that is trained on it.

    The units minimize the mean squared error of a linear decoder plus `sparsity_weight` times the sum over the units of
    the KL divergence between `sparsity` and their mean activity. The decoder is then dropped.

    Args:
        units: of the code.
        sparsity: wanted mean activity of each unit.
        sparsity_weight: weight of the divergence.
        steps: updates by Adam in the fit without labels.
        lr: their learning rate.
        batch: samples per update.

    Reference: Szegedy et al. 2014, section 3.1, AE400-10, which gives neither the loss nor its weights; the loss is
        that of Ng 2011, Sparse autoencoder.
    """

    units: Count = 400
    sparsity: Fraction = 0.05
    sparsity_weight: NonNegative = 0.01
    steps: Count = 2000
    lr: Positive = 3e-3
    batch: Count = 256

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Sequential:
        encoder = nn.Linear(count_features(shape), self.units, device="meta")
        network = sequence(shape, [encoder, nn.Sigmoid(), nn.Linear(self.units, classes, device="meta")])
        initialize(network, generator)
        encoder.requires_grad_(False)
        return network

    def fit_features(self, network: nn.Module, x: Tensor, generator: torch.Generator) -> None:
        rows = flatten(x)
        encoder = next(module for module in network.modules() if isinstance(module, nn.Linear))
        decoder = nn.Linear(self.units, rows.shape[1], device="meta")
        initialize(decoder, generator)
        decoder.to(rows)
        encoder.requires_grad_(True)
        parameters = [*encoder.parameters(), *decoder.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=self.lr)
        for step in range(self.steps):
            index = torch.randint(len(rows), (min(self.batch, len(rows)),), generator=generator)
            batch = rows[index.to(rows.device)]
            code = encoder(batch).sigmoid()
            loss = (decoder(code) - batch).square().mean() + self.sparsity_weight * self._divergence(code)
            if not bool(loss.isfinite()):
                raise DivergedError(f"network.lr is {self.lr}: the loss of the autoencoder is {loss.item()} at {step}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        encoder.requires_grad_(False)
        encoder.zero_grad()

    def _divergence(self, code: Tensor) -> Tensor:
        """Return the sum over the units of the divergence of their activity from the wanted one."""
        active = code.mean(0).clamp(1e-6, 1 - 1e-6)
        wanted = torch.full_like(active, self.sparsity)
        terms = torch.xlogy(wanted, wanted / active) + torch.xlogy(1 - wanted, (1 - wanted) / (1 - active))
        return terms.sum()
