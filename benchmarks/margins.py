"""Distances to the decision boundary against passes and seconds, beside other libraries on the same images.

    python benchmarks/margins.py [--quick] [--samples N] [--model NAME --weights FILE --data SPEC] [--only TEXT]
                                 [--json FILE]

Without weights it trains the small convnet on the bundled digits. Foolbox, adv-lib and torchattacks run where they can
be imported; the table says which could not. Every distance is that of a point verified in one pass of the plain
network; a sample without one counts as infinitely far. A pass is .4 for the forward and .6 for the backward of one
image, counted by a wrapper around the network. The picture of distances against passes lies beside the JSON file.
"""

import argparse
import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dimple.boundary import Boundary
from dimple.data import load_images
from dimple.experiment.models import train_digits
from dimple.networks import build_model, frozen, load_weights
from dimple.probes import Margin
from dimple.tensors import Box, generator, norm

Attack = Callable[["Counted", Tensor, Tensor], Tensor]
Row = dict[str, Any]
BUDGETS = (5, 10, 15, 25, 40, 100)
QUICK = (5, 15, 40)


class Tap(torch.autograd.Function):
    """The identity, which counts the rows that come back through it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counted: "Counted") -> Tensor:
        """Pass the samples on."""
        ctx.counted = counted
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Count, and pass the gradient on."""
        ctx.counted.backwards += len(gradient)
        return gradient, None


class Counted(nn.Module):
    """A network that counts its forwards and backwards in images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards, self.backwards = network, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the network."""
        self.forwards += len(x)
        return self.network(Tap.apply(x, self) if x.requires_grad else x)  # type: ignore[no-any-return]


def ours(kind: str, budgets: tuple[int, ...]) -> Iterator[tuple[str, str, Attack]]:
    """The margin from one start at every budget, as it is by default, and by DeepFool."""

    def attack(margin: Margin) -> Attack:
        return lambda model, x, y: margin.search(Boundary(model, Box()), x, y)[0]

    for budget in budgets:
        yield "dimple", f"closest({budget})", attack(Margin(norm=kind, budget=float(budget), starts=1))  # type: ignore[arg-type]
    yield "dimple", "closest, default starts", attack(Margin(norm=kind))  # type: ignore[arg-type]
    yield "dimple", "deepfool", attack(Margin(norm=kind, method="deepfool"))  # type: ignore[arg-type]


def foolbox_attacks(kind: str, budgets: tuple[int, ...]) -> Iterator[tuple[str, str, Attack]]:
    """DeepFool of three candidates, and the best of its iterative searches in this norm."""
    import foolbox

    def attack(search: Any) -> Attack:
        return lambda m, x, y: search(foolbox.PyTorchModel(m, bounds=(0, 1)), x.clone(), y, epsilons=None)[0]

    known = foolbox.attacks
    fool = known.L2DeepFoolAttack if kind == "l2" else known.LinfDeepFoolAttack
    for steps in (2, 3, 4, 50):
        yield "foolbox", f"deepfool({steps}, candidates=2)", attack(fool(steps=steps, candidates=2))
    yield "foolbox", "deepfool(50, candidates=3)", attack(fool(candidates=3))
    for steps in budgets:
        search = known.DDNAttack(init_epsilon=0.05, steps=steps) if kind == "l2" else known.LInfFMNAttack(steps=steps)
        yield "foolbox", f"{'ddn' if kind == 'l2' else 'fmn'}({steps})", attack(search)


def adv_lib_attacks(kind: str, budgets: tuple[int, ...]) -> Iterator[tuple[str, str, Attack]]:
    """DDN, FMN, FAB, the trust region and SuperDeepFool."""
    from adv_lib import attacks

    order = 2 if kind == "l2" else math.inf
    for steps in budgets:
        yield "adv-lib", f"fmn({steps})", lambda m, x, y, s=steps: attacks.fmn(m, x, y, norm=order, steps=s)
        if kind == "l2":
            ddn: Attack = lambda m, x, y, s=steps: attacks.ddn(m, x, y, steps=s, init_norm=0.05, levels=None)  # noqa: E731
            yield "adv-lib", f"ddn({steps})", ddn
    for steps in (2, 5, 10):
        yield "adv-lib", f"fab({steps})", lambda m, x, y, s=steps: attacks.fab(m, x, y, norm=order, n_iter=s)
    yield "adv-lib", "trust region", lambda m, x, y: attacks.tr(m, x, y, adaptive=True, p=order)


def torchattacks_attacks(kind: str, budgets: tuple[int, ...]) -> Iterator[tuple[str, str, Attack]]:
    """DeepFool, which this library has in l2 only."""
    import torchattacks

    if kind == "l2":
        for steps in (10, 50) if 100 in budgets else (10,):
            yield "torchattacks", f"deepfool({steps})", lambda m, x, y, s=steps: torchattacks.DeepFool(m, steps=s)(x, y)


def measure(network: nn.Module, x: Tensor, y: Tensor, kind: str, attack: Attack) -> Row:
    """One search on all images: verified distances, passes, seconds."""
    counted = Counted(network).eval()
    start = time.perf_counter()
    points = attack(counted, x, y).detach()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        found = (network(points).argmax(1) != y) | (network(points).topk(2).values.diff(dim=1).squeeze(1).abs() < 1e-4)
    distance = torch.where(found & (norm(points - x, kind) > 0), norm(points - x, kind), torch.inf)
    passes = (0.4 * counted.forwards + 0.6 * counted.backwards) / len(x)
    return {
        "median": float(distance.median()),
        "mean": float(distance.mean()),
        "passes": passes,
        "seconds": seconds,
        "found": float(torch.isfinite(distance).float().mean()),
    }


def compared(
    case: str, network: nn.Module, x: Tensor, y: Tensor, budgets: tuple[int, ...], only: list[str]
) -> list[Row]:
    """Every method of every library that is here, in both norms, as a printed table and as rows."""
    rows = []
    for kind in ("l2", "linf"):
        print(
            f"\n{case}, {kind}, {len(x)} images\n{'library':13} {'method':28} passes    median      mean  found seconds"
        )
        for family in (ours, foolbox_attacks, adv_lib_attacks, torchattacks_attacks):
            try:
                methods = list(family(kind, budgets))
            except ImportError as error:
                print(f"{family.__name__.removesuffix('_attacks')}: not run, {error}")
                continue
            for library, method, attack in methods:
                if only and not any(text in method for text in only):
                    continue
                row = measure(network, x, y, kind, attack)
                rows.append({"case": case, "norm": kind, "method": method, "library": library, **row})
                numbers = f"{row['passes']:6.1f} {row['median']:9.5f} {row['mean']:9.5f} {row['found']:6.3f}"
                print(f"{library:13} {method:28} {numbers} {row['seconds']:7.2f}", flush=True)
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """The median distance against the passes, a mark a method, a colour a library."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), ("l2", "linf"), strict=True):
        for library in dict.fromkeys(row["library"] for row in rows):
            mine = [r for r in rows if (r["library"], r["norm"]) == (library, kind) and math.isfinite(r["median"])]
            mine.sort(key=lambda row: float(row["passes"]))
            axes.plot([r["passes"] for r in mine], [r["median"] for r in mine], "o", label=library)
        best = [r for r in rows if r["norm"] == kind and r["method"].startswith("closest(")]
        axes.plot([r["passes"] for r in best], [r["median"] for r in best], "-", color="C0")
        axes.set(xscale="log", yscale="log", xlabel="passes per image", ylabel=f"median {kind} distance", title=kind)
        axes.legend()
    figure.savefig(path, dpi=120)


def prepared(options: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, and the first images of the test split that it classifies correctly."""
    network = build_model(options.model, generator(0, "network"))
    if options.weights is not None:
        load_weights(network, options.weights)
    elif options.model == "digits_convnet":
        train_digits(network, lambda *_: contextlib.nullcontext(lambda: None))
    network = frozen(network)
    images = load_images(options.data, "test")
    # Spread over the whole split, for the images of a folder come sorted by class.
    order = torch.randperm(len(images), generator=generator(0, "benchmark"))[: 3 * options.samples]
    x, y = images.batch(order)
    right = torch.nonzero(Boundary(network).predict(x) == y).squeeze(1)[: options.samples]
    return network, x[right], y[right]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three budgets, at most 32 images")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--model", default="digits_convnet")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--only", action="append", default=[], help="methods whose name holds this; repeatable")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.samples = min(options.samples, 32) if options.quick else options.samples
    network, x, y = prepared(options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        budgets = QUICK if options.quick else BUDGETS
        rows = compared(f"{options.model} {options.data}", network, x, y, budgets, options.only)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        draw(rows, options.json.with_suffix(".png"))


if __name__ == "__main__":
    main()
