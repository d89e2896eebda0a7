"""The schema says what `build` says: the same keys, the same kinds, the same ranges."""

import json

from dimple.scene.schema import schema
from tests.scene.sketch import FAMILIES, Film, Sketch


def test_a_section_states_types_ranges_and_defaults() -> None:
    assert json.loads(json.dumps(schema(Film, FAMILIES))) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "A section that is no family.",
        "properties": {
            "size": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": 1, "maximum": 1_000_000_000}] * 2,
                "minItems": 2,
                "maxItems": 2,
                "default": [640, 480],
            },
            "spin": {"type": "boolean", "default": True},
            "caption": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": [],
        "additionalProperties": False,
    }


def test_a_family_is_a_choice_of_kinds() -> None:
    shape = schema(Sketch, FAMILIES)["properties"]["shape"]
    assert [member["properties"]["kind"] for member in shape["anyOf"]] == [
        {"const": "torus"},
        {"const": "plane"},
    ]
    assert [member["required"] for member in shape["anyOf"]] == [["kind"], ["kind", "offset"]]
    assert shape["anyOf"][0]["properties"]["minor"] == {
        "exclusiveMinimum": 0,
        "type": "number",
        "default": 0.25,
    }


def test_a_default_makes_its_kind_and_its_keys_optional() -> None:
    whole = schema(Sketch, FAMILIES)
    assert whole["required"] == ["shape"]
    torus, plane = whole["properties"]["torus"]["anyOf"]
    assert (torus["required"], plane["required"]) == ([], ["kind", "offset"])
    assert torus["properties"]["major"]["default"] == 3.0
    assert whole["properties"]["film"]["properties"]["spin"]["default"] is False


def test_lists_and_sections_that_may_be_null() -> None:
    properties = schema(Sketch, FAMILIES)["properties"]
    assert properties["probes"]["type"] == "array"
    assert [member["required"] for member in properties["probes"]["items"]["anyOf"]] == [["kind"], ["kind"]]
    assert [member["type"] for member in properties["backdrop"]["anyOf"]] == ["object", "null"]
