from __future__ import annotations

import json
from pathlib import Path

from tryon_masks.entrypoints.http import openapi
from tryon_masks.entrypoints.http.routes import METHODS

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_document_is_the_codes_own() -> None:
    assert json.loads(COMMITTED.read_text()) == openapi.document(), (
        "python -m tryon_masks.entrypoints.http.openapi > docs/openapi.json"
    )


def test_every_route_is_described() -> None:
    paths = openapi.document()["paths"]

    described = {(path, method.upper()) for path, methods in paths.items() for method in methods}
    assert described == set(METHODS.items())


def test_every_error_is_described_as_it_is_sent() -> None:
    document = openapi.document()

    responses = document["paths"]["/v1/masks"]["post"]["responses"]
    errors = {"400", "401", "409", "413", "415", "500", "502", "503", "504"}
    assert set(responses) == {"200", "202", "422"} | errors
    for status in errors:
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_nothing_points_nowhere_and_nothing_is_left_over() -> None:
    document = openapi.document()

    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text
    assert text.count("#/components/schemas/") == sum(
        text.count(f'"#/components/schemas/{name}"') for name in document["components"]["schemas"]
    )


def test_the_field_names_with_spaces_are_the_documents_own() -> None:
    schemas = openapi.document()["components"]["schemas"]

    assert set(schemas["MaskBlock"]["properties"]) == {"Status", "Upper mask URL", "Lower mask URL"}
    assert "Mask" in schemas["MaskAnswer"]["properties"]
    assert schemas["DataJson"]["required"] == ["userImageUrl"]
    assert schemas["MaskRequestBody"]["additionalProperties"] is False
