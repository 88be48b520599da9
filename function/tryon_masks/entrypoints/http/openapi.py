"""The API's OpenAPI document: ``python -m tryon_masks.entrypoints.http.openapi`` prints it."""

from __future__ import annotations

import json
import sys
from typing import Any

from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer

from tryon_masks import __version__
from tryon_masks.domain.errors import TryonMasksError
from tryon_masks.entrypoints.http.routes import SIGNED_IN, resolver

ERROR = "#/components/schemas/ErrorAnswer"
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError", "ResponseValidationError")


def document() -> dict[str, Any]:
    """Return the OpenAPI document as the routes and models make it."""
    openapi: dict[str, Any] = json.loads(
        resolver.get_openapi_json_schema(
            title="Tryon Masks",
            version=__version__,
            description="Upper-body and lower-body masks for virtual try-on, from one photo.",
            security_schemes={
                SIGNED_IN: HTTPBearer(
                    bearerFormat="JWT",
                    description="A Firebase ID token; a stack may ask for AWS signatures instead.",
                )
            },
        )
    )
    # The framework describes error bodies of its own; every error here is an ErrorAnswer.
    for name in FRAMEWORK_SCHEMAS:
        del openapi["components"]["schemas"][name]
    for operations in openapi["paths"].values():
        for operation in operations.values():
            operation["responses"]["500"] = {
                "description": TryonMasksError.message,
                "content": {"application/json": {"schema": {"$ref": ERROR}}},
            }
            if "HTTPValidationError" in json.dumps(operation["responses"].get("422")):
                del operation["responses"]["422"]
    return openapi


def main() -> None:
    """Print it."""
    json.dump(document(), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
