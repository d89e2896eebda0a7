"""The schema agrees with `build`: the same keys, the same kinds, the same ranges."""

import json

from dimple.scene.schema import json_schema
from tests.scene.sketch import FAMILIES, Film, Sketch


def test_a_mapping_has_types_ranges_and_defaults() -> None:
    assert json.loads(json.dumps(json_schema(Film, FAMILIES))) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "description": "A settings class that is not in a family.",
        "properties": {
            "size": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": 1, "maximum": 10_000_000}] * 2,
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
    shape = json_schema(Sketch, FAMILIES)["properties"]["shape"]
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
    schema = json_schema(Sketch, FAMILIES)
    assert schema["required"] == ["shape"]
    torus, plane = schema["properties"]["torus"]["anyOf"]
    assert (torus["required"], plane["required"]) == ([], ["kind", "offset"])
    assert torus["properties"]["major"]["default"] == 3.0
    assert schema["properties"]["film"]["properties"]["spin"]["default"] is False


def test_lists_and_mappings_that_may_be_null() -> None:
    properties = json_schema(Sketch, FAMILIES)["properties"]
    assert properties["probes"]["type"] == "array"
    assert [member["required"] for member in properties["probes"]["items"]["anyOf"]] == [["kind"], ["kind"]]
    assert [member["type"] for member in properties["backdrop"]["anyOf"]] == ["object", "null"]
