"""The searches of other libraries, each as one function of a network, images and labels.

Foolbox comes with the extra `bench`. adv-lib and torchattacks ask for packages that their searches do not need (visdom,
torchvision, an old requests): `pip install --no-deps adv-lib torchattacks`, and what they import and do not find is
stood in for. Defaults that mislead are replaced: the first radius is `scale`, the size of the distances (DDN), nothing
is rounded to 256 grey levels, no distance is capped (FAB).
"""

import importlib.util
import math
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Self

from torch import Tensor, nn

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Method = tuple[str, Attack]


class StandIn(types.ModuleType):
    """A module that is imported and never used: whatever is taken from it is an empty class."""

    __path__: list[str] = []  # noqa: RUF012 - what tells a package from a module

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Version(tuple[int, ...]):
    """The leading numbers of a version, which compare as `distutils.version.LooseVersion` did."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read `2.13.0+cpu` as (2, 13, 0)."""
        return super().__new__(cls, (int(part) for part in str(text).partition("+")[0].split(".") if part.isdigit()))


def stand_in(names: tuple[str, ...]) -> None:
    """Put an empty module in the place of each of these that cannot be imported."""
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = StandIn(name)
    if isinstance(sys.modules.get("distutils"), StandIn):
        version = StandIn("distutils.version")
        version.LooseVersion = Version  # type: ignore[attr-defined]
        sys.modules["distutils.version"] = version


def foolbox(kind: str, budgets: tuple[int, ...], scale: float) -> Iterator[Method]:
    """DeepFool of two and three candidates, DDN in l2 and FMN in l-infinity (its FMN in l2 projects onto nothing)."""
    import foolbox

    def attack(search: Any) -> Attack:
        return lambda m, x, y: search(foolbox.PyTorchModel(m, bounds=(0, 1)), x.clone(), y, epsilons=None)[0]

    known = foolbox.attacks
    fool = known.L2DeepFoolAttack if kind == "l2" else known.LinfDeepFoolAttack
    for steps in (2, 3, 4, 50):
        yield f"deepfool({steps}, candidates=2)", attack(fool(steps=steps, candidates=2))
    yield "deepfool(50, candidates=3)", attack(fool(candidates=3))
    for steps in budgets:
        search = known.DDNAttack(init_epsilon=scale, steps=steps) if kind == "l2" else known.LInfFMNAttack(steps=steps)
        yield f"{'ddn' if kind == 'l2' else 'fmn'}({steps})", attack(search)


def adv_lib(kind: str, budgets: tuple[int, ...], scale: float) -> Iterator[Method]:
    """FMN, DDN, FAB over all rivals and over the nearest one or three, ALMA, PDPGD, the trust region, DeepFool."""
    stand_in(("visdom", "torchvision", "distutils", "tqdm"))
    from adv_lib import attacks

    order = 2 if kind == "l2" else math.inf
    fab = {"norm": order}

    def attack(search: Callable[..., Tensor], **settings: Any) -> Attack:
        return lambda m, x, y: search(m, x, y, **settings)

    for steps in budgets:
        yield f"fmn({steps})", attack(attacks.fmn, norm=order, steps=steps)
        if kind == "l2":
            yield f"ddn({steps})", attack(attacks.ddn, steps=steps, init_norm=scale, levels=None)
            alma = {"num_steps": steps, "distance": "l2", "init_lr_distance": 0.5, "α": 0.5}
            yield f"alma({steps})", attack(attacks.alma, **alma)
        elif steps >= 100:
            yield f"pdpgd({steps})", attack(attacks.pdpgd, norm=order, num_steps=steps)
        # A step over all nine rivals costs 6.2 passes, towards one rival 1.4.
        if steps >= 10:
            yield f"fab({int(steps / 6.2)})", attack(attacks.fab, **fab, n_iter=int(steps / 6.2))
        for rivals in (1, 3) if steps >= 15 else (1,):
            iterations = int((steps - 0.4) / (1.4 * rivals) - 0.3)
            targeted = {"n_iter": iterations, "targeted_restarts": True, "restarts": rivals}
            yield f"fab({iterations}, rivals={rivals})", attack(attacks.fab, **fab, **targeted)
    yield "trust region", attack(attacks.tr, adaptive=True, p=order)
    yield "deepfool", attack(attacks.df, norm=order)
    if kind == "l2":
        yield "superdeepfool", attack(attacks.sdf)


def torchattacks(kind: str, budgets: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """FAB without a cap, and DeepFool, which this library has in l2 only."""
    stand_in(("torchvision", "tqdm"))
    import torchattacks

    name = {"l2": "L2", "linf": "Linf"}[kind]
    for steps in budgets:
        if steps >= 15:
            iterations = int(steps / 6.8)
            search = lambda m, x, y, n=iterations: torchattacks.FAB(m, norm=name, eps=None, steps=n)(x, y)  # noqa: E731
            yield f"fab({iterations})", search
    if kind == "l2":
        for steps in (10, 50) if 100 in budgets else (10,):
            yield f"deepfool({steps})", lambda m, x, y, n=steps: torchattacks.DeepFool(m, steps=n)(x, y)


PEERS: dict[str, Callable[[str, tuple[int, ...], float], Iterator[Method]]] = {
    "foolbox": foolbox,
    "adv-lib": adv_lib,
    "torchattacks": torchattacks,
}
