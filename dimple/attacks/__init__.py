"""Minimum-norm attacks: searches for the nearest point of another class, with one interface."""

from dimple.attacks.foreign import from_adv_lib, from_foolbox

__all__ = ["from_adv_lib", "from_foolbox"]
