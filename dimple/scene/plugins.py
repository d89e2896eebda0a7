"""Members of families from other code: installed packages by their entry points, files of the user by their names."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from dimple.errors import SceneError, UsageError, describe_cause
from dimple.names import PROBE_PLUGINS, installed_plugins
from dimple.object_reference import parse_reference
from dimple.scene.field_types import parse_annotation
from dimple.settings import field_types, suggest_word

# The groups of entry points by the name of the base class of a family; the name of an entry is the value of `kind`.
GROUPS = {"Manifold": "dimple.manifolds", "Objective": "dimple.objectives", "Probe": PROBE_PLUGINS}
# A shorter way to a member of a family than its class.
SHORT_WAYS = {
    "Manifold": ", or only its chart, a function below @chart_manifold",
    "Probe": ", or a function below @function_probe",
}


def plugin_names() -> set[str]:
    """Return the kinds that installed packages add; none of them is loaded."""
    return {name for group in GROUPS.values() for name in installed_plugins(group)}


def add_plugins(families: Mapping[type, dict[str, type]]) -> None:
    """Add the members of installed packages to the tables of their families; one that does not fit is a warning."""
    for base, table in families.items():
        for name, entry in installed_plugins(GROUPS.get(base.__name__, "")).items():
            place = f"the plug-in {entry.value} of {entry.group}"
            try:
                if name in table:
                    raise SceneError(f"{place}: kind {name} is taken; choose another name")
                cls = entry.load()
                if not (isinstance(cls, type) and issubclass(cls, base)):
                    raise SceneError(f"{place} is no class derived from {base.__name__}")
                require_member(cls, families, place)
            # What somebody else has installed does not end the program.
            except Exception as error:
                sentence = str(error) if isinstance(error, SceneError) else f"{place} fails: {describe_cause(error)}"
                warnings.warn(f"{sentence}; it is left out", stacklevel=2)
            else:
                table[name] = cls


def require_member(cls: type, families: Mapping[type, Mapping[str, type]], place: str) -> None:
    """Refuse a class of a family that no scene could use; any other class is left alone.

    Raises:
        SceneError: naming what it lacks, at its place.
    """
    base = next((base for base in families if issubclass(cls, base)), None)
    if base is None:
        return
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        raise SceneError(
            f"{place}: {cls.__name__} is a {base.__name__} without {', '.join(missing)}; write "
            f"{'them' if len(missing) > 1 else 'it'}{SHORT_WAYS.get(base.__name__, '')}"
        )
    if "__dataclass_fields__" not in vars(cls):
        raise SceneError(f"{place}: {cls.__name__} has no settings; write @settings above it (from dimple.settings)")
    for name, annotation in field_types(cls).items():
        try:
            parse_annotation(annotation, families)
        except TypeError:
            raise SceneError(
                f"{place}: {cls.__name__}.{name} is a {annotation}, which no scene file can hold; use numbers, "
                "strings, tuples, or objects of a family"
            ) from None


def canonical_kind(word: str) -> str:
    """Return the kind of a class in a file, however the file is named.

    Example:
        >>> canonical_kind("shapes/my_shapes.py:Knot"), canonical_kind("my_shapes:Knot"), canonical_kind("sphere")
        ('my_shapes:Knot', 'my_shapes:Knot', 'sphere')
    """
    try:
        reference = parse_reference(word, "kind")
    except UsageError:
        return word
    return f"{reference.module}:{reference.name}" if reference.source == "file" else word


def find_member(word: str, members: Mapping[str, type]) -> tuple[type, dict[str, Any]] | None:
    """Return the class that a kind names, and the settings in its parentheses by their names; None for unknown kinds.

    Raises:
        UsageError: if the parentheses hold no literals, or more of them than the class has settings.

    Example:
        >>> from dimple.manifolds import MANIFOLDS
        >>> find_member("sphere(2, radius=0.5)", MANIFOLDS)
        (<class 'dimple.manifolds.sphere.Sphere'>, {'dim': 2, 'radius': 0.5})
    """
    head = word.partition("(")[0]
    cls = members.get(canonical_kind(head))
    if cls is None or head == word:
        return None if cls is None else (cls, {})
    reference = parse_reference(word, "kind")
    names = [*field_types(cls)]
    if len(reference.args) > len(names):
        raise UsageError(f"{word} has {len(reference.args)} arguments; {head} takes {', '.join(names) or 'none'}")
    values = dict(zip(names, reference.args, strict=False))
    twice = next((name for name in reference.kwargs if name in values), None)
    if twice is not None:
        raise UsageError(f"{word} gives {twice} twice; keep one")
    return cls, values | dict(reference.kwargs)


def not_allowed_message(word: str, known: Iterable[str]) -> str:
    """Return the sentence about a kind of code, such as `my_shapes.py:Knot`, that is not among those known."""
    module, _, name = canonical_kind(word).partition(":")
    own = [kind.partition(":")[2] for kind in known if kind.startswith(f"{module}:")]
    if own:
        choices = f"choose from {', '.join(own)}"
        return f"{module}.py has no {name!r} of this family; {suggest_word(name, own, choices)}"
    file = word.partition(":")[0].removesuffix(".py") + ".py"
    return (
        f"this is code that was not allowed; to trust and run it, give --allow-code {file}, or call "
        f"dimple.allow_code({file!r})"
    )
