"""The verb `estimate`: how long a measurement or a simulation will take."""

from dimple.experiment.probing.config import ProbeConfig
from dimple.experiment.probing.estimate import Estimate, estimate_probe
from dimple.experiment.simulation.estimate import estimate_simulation
from dimple.scene import Scene


def estimate(work: ProbeConfig | Scene, *, data: str | None = None, device: str = "auto", jobs: int = 1) -> Estimate:
    """Estimate how long `probe` or `simulate` takes on this machine.

    A measurement is estimated by one pass at its samples. Of a scene a twentieth of the training is done, and two
    snapshots are measured and drawn, so that its estimate takes some seconds; nothing is kept.

    Args:
        work: the settings of a measurement, or a scene.
        data: the data set of a scene, as in `simulate`.
        device: as in `probe` and `simulate`.
        jobs: the processes that measure.

    Raises:
        UsageError, SceneError, DataError, ModelError, RunError, DeviceError: as `probe` and `simulate` do.

    Example:
        >>> bool(estimate(ProbeConfig(probes=("margin",), samples=8)).passes)
        True
    """
    if isinstance(work, Scene):
        return estimate_simulation(work, data=data, device=device, jobs=jobs)
    found = estimate_probe(work, device)
    return Estimate(found.seconds / jobs, found.passes, found.advice)
