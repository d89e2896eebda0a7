"""Searches of other libraries, each as one function of a network, images and labels.

Foolbox is in the extra `bench`. adv-lib and torchattacks require packages that their searches do not use (visdom,
torchvision, an old requests): `pip install --no-deps adv-lib torchattacks`; missing imports are replaced by stand-ins.
Misleading defaults are replaced: the first radius is `scale`, the size of the distances (DDN), no rounding to 256
gray levels, and no limit of the distance (FAB).
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
    """Stand-in for a module that is imported but not used; every attribute is an empty class."""

    __path__: list[str] = []  # noqa: RUF012 - marks the module as a package

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Version(tuple[int, ...]):
    """Leading numbers of a version, compared as by `distutils.version.LooseVersion`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Read `2.13.0+cpu` as (2, 13, 0)."""
        return super().__new__(cls, (int(part) for part in str(text).partition("+")[0].split(".") if part.isdigit()))


def install_stand_ins(names: tuple[str, ...]) -> None:
    """Replace each module that cannot be imported by a stand-in."""
    for name in names:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = StandIn(name)
    if isinstance(sys.modules.get("distutils"), StandIn):
        version = StandIn("distutils.version")
        version.LooseVersion = Version  # type: ignore[attr-defined]
        sys.modules["distutils.version"] = version


def foolbox_methods(kind: str, pass_limits: tuple[int, ...], scale: float) -> Iterator[Method]:
    """Yield DeepFool with two and three candidates, DDN in l2, FMN in l-infinity (its FMN in l2 does not project)."""
    if kind == "l0":
        return
    import foolbox

    def attack(search: Any) -> Attack:
        return lambda m, x, y: search(foolbox.PyTorchModel(m, bounds=(0, 1)), x.clone(), y, epsilons=None)[0]

    attacks = foolbox.attacks
    deepfool = attacks.L2DeepFoolAttack if kind == "l2" else attacks.LinfDeepFoolAttack
    for steps in (2, 3, 4, 50):
        yield f"deepfool({steps}, candidates=2)", attack(deepfool(steps=steps, candidates=2))
    yield "deepfool(50, candidates=3)", attack(deepfool(candidates=3))
    for steps in pass_limits:
        if kind == "l2":
            yield f"ddn({steps})", attack(attacks.DDNAttack(init_epsilon=scale, steps=steps))
        else:
            yield f"fmn({steps})", attack(attacks.LInfFMNAttack(steps=steps))


def adv_lib_methods(kind: str, pass_limits: tuple[int, ...], scale: float) -> Iterator[Method]:
    """Yield FMN, DDN, ALMA, PDPGD, trust region, DeepFool, and FAB over all, one or three of the other classes.

    In l0 they are sigma-zero and FMN.
    """
    install_stand_ins(("visdom", "torchvision", "distutils", "tqdm"))
    from adv_lib import attacks

    order = 2 if kind == "l2" else math.inf
    fab = {"norm": order}

    def attack(search: Callable[..., Tensor], **settings: Any) -> Attack:
        return lambda m, x, y: search(m, x, y, **settings)

    if kind == "l0":
        for steps in pass_limits:
            yield f"sigma_zero({steps})", attack(attacks.sigma_zero, num_steps=steps)
            yield f"fmn({steps})", attack(attacks.fmn, norm=0, steps=steps)
        return
    for steps in pass_limits:
        yield f"fmn({steps})", attack(attacks.fmn, norm=order, steps=steps)
        if kind == "l2":
            yield f"ddn({steps})", attack(attacks.ddn, steps=steps, init_norm=scale, levels=None)
            alma = {"num_steps": steps, "distance": "l2", "init_lr_distance": 0.5, "α": 0.5}
            yield f"alma({steps})", attack(attacks.alma, **alma)
        elif steps >= 100:
            yield f"pdpgd({steps})", attack(attacks.pdpgd, norm=order, num_steps=steps)
        # A step over all nine other classes costs 6.2 passes, towards one class 1.4.
        if steps >= 10:
            yield f"fab({int(steps / 6.2)})", attack(attacks.fab, **fab, n_iter=int(steps / 6.2))
        for classes in (1, 3) if steps >= 15 else (1,):
            iterations = int((steps - 0.4) / (1.4 * classes) - 0.3)
            targeted = {"n_iter": iterations, "targeted_restarts": True, "restarts": classes}
            yield f"fab({iterations}, rivals={classes})", attack(attacks.fab, **fab, **targeted)
    yield "trust region", attack(attacks.tr, adaptive=True, p=order)
    yield "deepfool", attack(attacks.df, norm=order)
    if kind == "l2":
        yield "superdeepfool", attack(attacks.sdf)


def torchattacks_methods(kind: str, pass_limits: tuple[int, ...], _scale: float) -> Iterator[Method]:
    """Yield FAB without a limit of the distance, and DeepFool, which this library has in l2 only."""
    if kind == "l0":
        return
    install_stand_ins(("torchvision", "tqdm"))
    import torchattacks

    name = {"l2": "L2", "linf": "Linf"}[kind]
    for steps in pass_limits:
        if steps >= 15:
            iterations = int(steps / 6.8)
            search = lambda m, x, y, n=iterations: torchattacks.FAB(m, norm=name, eps=None, steps=n)(x, y)  # noqa: E731
            yield f"fab({iterations})", search
    if kind == "l2":
        for steps in (10, 50) if 100 in pass_limits else (10,):
            yield f"deepfool({steps})", lambda m, x, y, n=steps: torchattacks.DeepFool(m, steps=n)(x, y)


PEERS: dict[str, Callable[[str, tuple[int, ...], float], Iterator[Method]]] = {
    "foolbox": foolbox_methods,
    "adv-lib": adv_lib_methods,
    "torchattacks": torchattacks_methods,
}
