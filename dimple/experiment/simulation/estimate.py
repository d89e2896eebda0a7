"""The time that a simulation will take, from a short training of the same scene."""

import dataclasses
import tempfile
import time
from pathlib import Path

from dimple.experiment.probing.estimate import LONG_SECONDS, Estimate
from dimple.experiment.simulation.simulate_scene import prepare, simulate
from dimple.progress import silent_progress
from dimple.scene import Scene
from dimple.tensors import resolve_device
from dimple.views.content.frame import Frame
from dimple.views.content.from_run import frames_from_run
from dimple.views.film.film import write_film

# Of the training: enough that its time is not that of the first step, and that the boundary begins to move.
TRIAL_SHARE = 0.05
MIN_TRIAL_STEPS = 20
# Stages that take a time for each snapshot.
MEASURING_STAGES = ("measure", "replicas", "slice")


def estimate_simulation(
    scene: Scene, *, data: str | None = None, device: str = "auto", film: bool = True, jobs: int = 1
) -> Estimate:
    """Estimate how long `simulate` takes, by a twentieth of the training with two snapshots and their film.

    Args:
        scene: the scene.
        data, device: as in `simulate`.
        film: whether the film is drawn.
        jobs: the processes that measure.

    Raises:
        UsageError, SceneError, DataError, DivergedError, DeviceError: as `simulate` does.
    """
    prepared, _ = prepare(scene, data, resolve_device(device))
    steps = prepared.snapshot_steps[-1]
    count = len(prepared.snapshot_steps)
    trial_steps = min(steps, max(MIN_TRIAL_STEPS, round(TRIAL_SHARE * steps)))
    stop = dataclasses.replace(scene.training.stop, steps=trial_steps, epochs=None)
    trial = dataclasses.replace(
        scene,
        training=dataclasses.replace(scene.training, stop=stop),
        snapshots=dataclasses.replace(scene.snapshots, count=2),
    )
    with tempfile.TemporaryDirectory() as folder:
        run = simulate(trial, Path(folder) / "run", data=data, device=device, film=False, progress=silent_progress)
        spent: dict[str, float] = run.info["seconds"]
        measured = len(run.steps)
        per_snapshot = sum(spent.get(stage, 0.0) for stage in MEASURING_STAGES) / measured
        seconds = spent["train"] * steps / trial_steps + per_snapshot * count / jobs
        if film and scene.is_drawable:
            frames = frames_from_run(run)
            # The first film also loads the drawing libraries.
            first, second = (_time_film(frames, scene, Path(folder) / f"{name}.mp4") for name in ("first", "second"))
            seconds += first - second + second * count / len(frames)
    advice = []
    if seconds > LONG_SECONDS:
        advice = ["fewer snapshots (--set snapshots.count=10)", "a smaller --resolution"]
        advice += ["--no-film"] if film and scene.is_drawable else []
    passes = sum(cost["forwards"] + cost["backwards"] for cost in run.info.get("passes", {}).values())
    return Estimate(seconds, passes * count / measured, f"{', '.join(advice)} shorten it" if advice else "")


def _time_film(frames: list[Frame], scene: Scene, path: Path) -> float:
    started = time.perf_counter()
    write_film(frames, path, scene.film)
    return time.perf_counter() - started
