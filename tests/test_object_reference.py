"""The grammar of names of code: what is parsed, what is refused, and that nothing of it is run."""

from pathlib import Path

import pytest

from dimple.errors import ModelError, UsageError
from dimple.object_reference import import_object, parse_reference, require_object


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("resnet20", ("builtin", "", "resnet20", (), {})),
        ("mlp(activation='tanh')", ("builtin", "", "mlp", (), {"activation": "tanh"})),
        ("nets.py:Net", ("file", "nets.py", "Net", (), {})),
        ("a b/nets.py:Net(3, width=[1, 2])", ("file", "a b/nets.py", "Net", (3,), {"width": [1, 2]})),
        ("C:/code/nets.py:Net()", ("file", "C:/code/nets.py", "Net", (), {})),
        ("package.module:Class.make(-1.5, None)", ("module", "package.module", "Class.make", (-1.5, None), {})),
        ("timm:vit_tiny.augreg(num_classes=3)", ("timm", "", "vit_tiny.augreg", (), {"num_classes": 3})),
        ("torchvision:resnet18", ("torchvision", "", "resnet18", (), {})),
        ("hf:timm/resnet18.a1_in1k@main", ("hf", "", "timm/resnet18.a1_in1k@main", (), {})),
        ("robustbench:Wong2020(threat_model='L2')", ("robustbench", "", "Wong2020", (), {"threat_model": "L2"})),
        ("nets.py:Net('a:b(c)')", ("file", "nets.py", "Net", ("a:b(c)",), {})),
    ],
)  # fmt: skip
def test_every_form_is_parsed(text: str, parts: tuple[object, ...]) -> None:
    found = parse_reference(text)
    assert (found.source, found.place, found.name, found.args, found.kwargs) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nets.py:Net(__import__('os'))", "no literals"),
        ("nets.py:Net(width=x)", "no literals"),
        ("nets.py:Net(*[1])", "no literals"),
        ("nets.py:Net(**{'a': 1})", "no literals"),
        ("nets.py:Net(3", "no literals"),
        ("nets.py:Net(3)(4)", "no literals"),
        ("nets.py:Net(3), f(4)", "no literals"),
        ("nets.py:Net(" + "(" * 500, "no literals"),
        ("nets.py:Net(" + "1," * 2000 + ")", "letters"),
        ("nets.py:", "incomplete"),
        (":Net", "incomplete"),
        ("folder/nets:Net", "write folder/nets.py:Net"),
        ("nets.py:Net; rm", "not the name of code"),
        ("timm:", "incomplete or no name; write timm:NAME"),
        ("timm:../x", "no name"),
        ("timm:hf-hub:a/b", "no name"),
        ("hf:a/b/c", "no name"),
    ],
)
def test_other_forms_are_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_reference(text)
    assert len(caught.value.args) == 1 and "\n" not in str(caught.value)


def test_objects_that_are_not_there_are_refused_before_anything_runs(tmp_path: Path) -> None:
    file = tmp_path / "dimple_reference_nets.py"
    marker = tmp_path / "ran"
    file.write_text(
        f"open({str(marker)!r}, 'w').close()\nclass Net: pass\ndef make(width=3): return width\n"
        "try:\n    from nowhere import Other\nexcept ImportError:\n    Other = None\n"
    )
    for name in ("Net", "make", "Other"):
        require_object(parse_reference(f"{file}:{name}"))
    with pytest.raises(UsageError, match="has no 'Nett'; did you mean 'Net'"):
        require_object(parse_reference(f"{file}:Nett"))
    with pytest.raises(UsageError, match=r"is not there; did you mean 'dimple_reference_nets\.py'"):
        require_object(parse_reference(f"{tmp_path}/dimple_reference_net.py:Net"))
    assert not marker.exists()
    assert import_object(parse_reference(f"{file}:make"))(width=4) == 4
    assert marker.exists()


def test_a_file_imports_the_modules_beside_it_and_takes_no_name_of_a_library(tmp_path: Path) -> None:
    (tmp_path / "dimple_reference_layers.py").write_text("value = 7\n")
    file = tmp_path / "dimple_reference_user.py"
    file.write_text("from dimple_reference_layers import value\n")
    assert import_object(parse_reference(f"{file}:value")) == 7
    (tmp_path / "json.py").write_text("value = 7\n")
    with pytest.raises(ModelError, match="a module named json is loaded already; rename the file"):
        import_object(parse_reference(f"{tmp_path}/json.py:value"))
