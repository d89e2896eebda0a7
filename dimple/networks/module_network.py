"""Networks by the words of `--model` in a scene: built-in and library models, and code that was allowed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, final

import torch
from torch import nn

from dimple.errors import DeviceError, ModelError, SceneError, UsageError
from dimple.networks.architecture import Architecture
from dimple.networks.load import build_model, call_factory, check_compatible
from dimple.networks.wrappers import copy_module
from dimple.object_reference import parse_reference
from dimple.settings import format_value, settings

# Modules and factories of allowed code by `module:name`. A scene imports no code: it finds its network here or nowhere.
FACTORIES: dict[str, nn.Module | Callable[[], Any]] = {}


@final
@settings
class ModuleNetwork(Architecture):
    """A network of `--model`: a built-in or library name, or code that `dimple.allow_code` was given.

    Code is `my_networks.py:Net` or `my_networks.py:make(3, width=64)`, an `nn.Module` or what returns one. A network of
    two classes may have one logit.

    Args:
        name: of the network.

    Example:
        >>> ModuleNetwork(name="digits_convnet").build((1, 8, 8), torch.Generator(), 10)(torch.zeros(1, 1, 8, 8)).shape
        torch.Size([1, 10])
    """

    name: str

    def build(self, shape: int | tuple[int, ...], generator: torch.Generator, classes: int = 2) -> nn.Module:
        sizes = (shape,) if isinstance(shape, int) else shape
        try:
            with _global_seed(generator):
                return check_compatible(self._make(generator, sizes, classes), sizes, classes, self.name, "the scene")
        except (DeviceError, ModelError, UsageError) as error:
            raise SceneError(f"network.name: {error}") from error

    @property
    def module(self) -> str | None:
        """The name of the module of code that the network comes from; None for one that brings none."""
        return parse_reference(self.name, "network.name").module or None

    def _make(self, generator: torch.Generator, shape: tuple[int, ...], classes: int) -> nn.Module:
        reference = parse_reference(self.name, "network.name")
        if self.module is None:
            return build_model(self.name, generator, shape=shape, classes=classes)
        found = FACTORIES.get(self._key)
        if found is None:
            raise SceneError(
                f"network.name is {format_value(self.name)}, which is code that was not allowed; to trust and run it, "
                f"call dimple.allow_code('{self.module}.py'), or give --allow-code {self.module}.py"
            )
        network = call_factory(self.name, found, reference.args, reference.kwargs)
        # Training changes the weights, and an object of the module would be changed for all runs of the process.
        return copy_module(network) if isinstance(found, nn.Module) else network

    @property
    def _key(self) -> str:
        reference = parse_reference(self.name, "network.name")
        return f"{reference.module}:{reference.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.name, self._key, FACTORIES.get(self._key))


def _restore(name: str, key: str, factory: Any) -> ModuleNetwork:
    """Return a network in a worker process, which receives the factory with it."""
    if factory is not None:
        FACTORIES[key] = factory
    return ModuleNetwork(name)


@contextlib.contextmanager
def _global_seed(generator: torch.Generator) -> Iterator[None]:
    """Draw the random numbers of torch's global generator, which a factory uses, from a seed of `generator`."""
    with torch.random.fork_rng(devices=[]):
        # A built-in network has the weights that `build_model` gives it from the same generator.
        seed = torch.randint(2**62, (), generator=generator.clone_state())
        torch.default_generator.manual_seed(int(seed))
        yield
