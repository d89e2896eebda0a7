"""The choice of the samples that are measured: at random, by row, by class, or among the correctly classified."""

import torch
from torch import Tensor

from dimple.boundary.boundary import is_correct
from dimple.boundary.classifier import PreparedClassifier
from dimple.errors import UsageError
from dimple.experiment.probing.config import ProbeConfig
from dimple.experiment.probing.sources import Sources
from dimple.tensors import generator, map_chunks

# Samples that are read, and whose classes are predicted, together.
BATCH_SIZE = 512


def choose_samples(config: ProbeConfig, sources: Sources, device: torch.device) -> dict[str, Tensor]:
    """Return the rows of each split that are measured, rising.

    Raises:
        UsageError: if a row does not exist, or no sample is left.
    """
    return {split: _choose(split, config, sources, device) for split in config.splits}


def _choose(split: str, config: ProbeConfig, sources: Sources, device: torch.device) -> Tensor:
    count = len(sources.samples[split])
    if config.indices is None:
        rows = torch.randperm(count, generator=generator(config.seed, f"{split} images"))
    else:
        if missing := [row for row in config.indices if row >= count]:
            raise UsageError(f"--indices names {missing[0]}, and {split} has the samples 0 to {count - 1}")
        rows = torch.tensor(config.indices).unique()
    if config.only == "correct":
        rows = rows[_is_correct(split, rows, sources, device)]
    if config.per_class is not None:
        labels = _labels(split, rows, sources)
        rows = torch.cat([rows[labels == label][: config.per_class] for label in labels.unique()] or [rows])
    elif config.indices is None:
        rows = rows[: config.samples]
    if len(rows) == 0:
        raise UsageError(f"none of these samples of {split} is classified correctly; leave out --only correct")
    return rows.sort().values


def _is_correct(split: str, rows: Tensor, sources: Sources, device: torch.device) -> Tensor:
    """Return whether the last network classifies each row correctly, `(N,)`."""
    *_, (_, last_network) = sources.networks
    dtype = sources.dtype(device)
    classifier = PreparedClassifier(sources.place(last_network, device))

    def is_correct_part(part: slice) -> Tensor:
        x, y = sources.samples[split].batch(rows[part])
        with torch.no_grad():
            return is_correct(classifier(x.to(device, dtype)), y.to(device)).cpu()

    return torch.cat(map_chunks(is_correct_part, len(rows), BATCH_SIZE))


def _labels(split: str, rows: Tensor, sources: Sources) -> Tensor:
    return torch.cat(map_chunks(lambda part: sources.samples[split].batch(rows[part])[1], len(rows), BATCH_SIZE))
