"""The time that a measurement will take, from one timed pass and the largest number of passes of its searches."""

import dataclasses
import time
from typing import final

import torch

from dimple.boundary import Boundary
from dimple.experiment.probing.build_probes import MAX_CHECKED_SAMPLES, ProbeBuilder
from dimple.experiment.probing.check_inputs import check_names
from dimple.experiment.probing.config import QUICK, ProbeConfig, format_duration
from dimple.experiment.probing.sample_choice import choose_samples
from dimple.experiment.probing.sources import Sources, load_sources
from dimple.probes import ExactMargin, OnOff
from dimple.probes.subspaces import OnOffWithControls
from dimple.progress import silent_progress
from dimple.tensors import resolve_device

# Work that takes longer is announced before it starts.
LONG_SECONDS = 60.0
# The time of a search over that of its passes: it also projects, compares and records.
SEARCH_OVERHEAD = 2.0


@final
@dataclasses.dataclass(frozen=True)
class Estimate:
    """The work of a measurement or of a simulation.

    Attributes:
        seconds: about how long it takes on this machine; a node of the probe `exact` counts as one pass, and takes
            longer.
        passes: the largest number of passes of all samples and networks together; of a simulation about their number.
        advice: the flags that make it shorter; empty where it takes less than a minute.
    """

    seconds: float
    passes: float
    advice: str

    def __str__(self) -> str:
        return f"about {format_duration(self.seconds)}{self.advice and f'; {self.advice}'}"


def estimate_probe(config: ProbeConfig, device: str = "auto") -> Estimate:
    """Estimate how long `probe` takes with these settings, by one pass at the samples; nothing is measured.

    Raises:
        UsageError, DataError, ModelError, RunError, DeviceError: as `probe` does.
    """
    check_names(config, device)
    torch_device = resolve_device(device)
    sources = load_sources(config, torch_device, silent_progress)
    builder = ProbeBuilder(config, sources, torch_device)
    _, network = next(iter(sources.networks))
    boundary = sources.make_boundary(network, torch_device, builder.gradient_users)
    return estimate_work(config, sources, builder, boundary, choose_samples(config, sources, torch_device))


def estimate_work(
    config: ProbeConfig,
    sources: Sources,
    builder: ProbeBuilder,
    boundary: Boundary,
    indices: dict[str, torch.Tensor],
) -> Estimate:
    """Estimate the work of a measurement whose networks and samples are at hand."""
    per_sample = sum(probe.passes_per_sample for probe in builder.probes)
    count = sum(map(len, indices.values()))
    split, rows = next(iter(indices.items()))
    timed = rows[: builder.chunk_size]
    x, _ = sources.samples[split].batch(timed)
    x = x.to(builder.device, sources.dtype(builder.device))
    seconds = min(_time_pass(boundary, x, bool(builder.gradient_users)) for _ in range(2)) / len(timed)
    # The searches of the last network are tried again with more passes.
    checked = sum(min(len(rows), MAX_CHECKED_SAMPLES) for rows in indices.values())
    again = sum(probe.passes_per_sample for probe in builder.refined_probes) * checked
    passes = per_sample * count * len(sources.networks) + again
    total = passes * seconds * SEARCH_OVERHEAD
    return Estimate(total, passes, _advise(config, builder, count) if total > LONG_SECONDS else "")


def _time_pass(boundary: Boundary, x: torch.Tensor, has_gradient: bool) -> float:
    """Return the seconds of one forward and one backward pass at all samples."""
    started = time.perf_counter()
    if has_gradient:
        boundary.logit_margin_and_gradient(x, boundary.predict(x))
    else:
        boundary.predict(x)
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter() - started


def _advise(config: ProbeConfig, builder: ProbeBuilder, count: int) -> str:
    """Return the flags that shorten a measurement, with the time that is left."""
    advice = []
    if any(isinstance(probe, ExactMargin) for probe in builder.probes):
        advice.append("--probe exact may take much longer: start with --samples 3")
    quick = min(1.0, QUICK["samples"] / count * len(config.splits))
    advice.append(f"--quick takes less than {max(1, round(100 * quick))} % of it")
    if any(isinstance(probe, OnOff | OnOffWithControls) for probe in builder.probes) and config.null_draws > 1:
        advice.append("--probe margin alone, fewer --samples or fewer --null-draws shorten it too")
    else:
        advice.append("fewer --samples shorten it too")
    return "; ".join(advice)
