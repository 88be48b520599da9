"""The API keeps to its own OpenAPI document, whatever it is sent.

``pytest tests/contract/test_schemathesis.py`` prints how many calls were made;
FUZZ_EXAMPLES=500 before it makes more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    missing_required_header,
    positive_data_acceptance,
)
from tests import fakes
from tests.standins.gateway import Gateway

from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.images import Limits
from tryon_masks.outputs.targets import TargetName, not_taken
from tryon_masks.service import MaskService

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15"))

NOT_THE_HANDLERS = [
    # API Gateway turns callers without a token away before they reach the handler.
    ignored_auth,
    missing_required_header,
    # What must be in a photo, and rules between two fields, no schema says.
    positive_data_acceptance,
]
URL = "https://photos.example/a.jpg"

SIGNED_IN = {"Authorization": "Bearer a-token"}

Case = schemathesis.Case[Any]

schema = schemathesis.openapi.from_dict(json.loads(DOCUMENT.read_text()))
masks = schema.include(path=["/v1/masks", "/"], method="POST")
batches = schema.include(path="/v1/batches", method="POST")


class AnyPhoto:
    """Has the figure's photo at every address that may be fetched."""

    def fetch(self, address: str) -> bytes:
        AddressRules().target(address)
        return fakes.photo()


@pytest.fixture(scope="module")
def gateway(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    service = MaskService(
        fakes.FakeVision(), fakes.FakeStore(), AnyPhoto(), fakes.FakeProfiles(), limits=Limits()
    )
    with Gateway(create_handler(service, fakes.submission())) as gateway:
        yield gateway
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\napi: {gateway.statuses.total()} calls, {dict(sorted(gateway.statuses.items()))}")


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@schema.parametrize()
@bounded
def test_every_answer_is_one_of_the_document(case: Case, gateway: Gateway) -> None:
    case.call_and_validate(base_url=gateway.url, excluded_checks=NOT_THE_HANDLERS)


@schema.parametrize()
@bounded
def test_so_it_is_for_somebody_signed_in(case: Case, gateway: Gateway) -> None:
    case.call_and_validate(
        base_url=gateway.url, headers=SIGNED_IN, excluded_checks=NOT_THE_HANDLERS
    )


@masks.parametrize()
@bounded
def test_whatever_is_chosen_gives_masks(case: Case, gateway: Gateway) -> None:
    make_good(case).pop("callback_url", None)

    response = case.call_and_validate(base_url=gateway.url, excluded_checks=NOT_THE_HANDLERS)

    assert response.status_code in (200, 422)


@masks.parametrize()
@bounded
def test_or_a_job(case: Case, gateway: Gateway) -> None:
    make_good(case)

    response = case.call_and_validate(
        base_url=gateway.url,
        headers=SIGNED_IN | {"Prefer": "respond-async"},
        excluded_checks=NOT_THE_HANDLERS,
    )

    assert response.status_code == 202
    job = schema["/v1/jobs/{job_id}"]["GET"].Case(
        path_parameters={"job_id": response.json()["job_id"]}
    )
    asked = job.call_and_validate(
        base_url=gateway.url, headers=SIGNED_IN, excluded_checks=NOT_THE_HANDLERS
    )
    assert asked.status_code == 200


@batches.parametrize()
@bounded
def test_or_a_batch(case: Case, gateway: Gateway) -> None:
    items: list[Any] = [
        {**agreeing(item), "person_box": None, "id": f"item-{place}"}
        for place, item in enumerate(good_body(case).get("items") or [])
    ]
    case.body = {"items": items} if items else {"manifest": "manifests/user-1/list.jsonl"}

    response = case.call_and_validate(
        base_url=gateway.url, headers=SIGNED_IN, excluded_checks=NOT_THE_HANDLERS
    )

    assert response.status_code == 202
    batch = schema["/v1/batches/{batch_id}"]["GET"].Case(
        path_parameters={"batch_id": response.json()["batch_id"]}
    )
    asked = batch.call_and_validate(
        base_url=gateway.url, headers=SIGNED_IN, excluded_checks=NOT_THE_HANDLERS
    )
    assert asked.json()["counts"]["queued"] == len(items)


def good_body(case: Case) -> dict[str, Any]:
    """The body of a case that keeps to the document."""
    assume(case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE)
    body: Any = case.body
    assume(isinstance(body, dict))
    return cast(dict[str, Any], body)


def agreeing(options: dict[str, Any]) -> dict[str, Any]:
    """The options, without a target that takes no masks of the kinds chosen."""
    target, kinds = options.get("target"), options.get("masks")
    if target and kinds and not_taken(TargetName(target), [MaskKind(kind) for kind in kinds]):
        return {**options, "target": None}
    return options


def make_good(case: Case) -> dict[str, Any]:
    """Let it be a photo that is there, and somebody in it; give the body."""
    body = good_body(case)
    name = "userImageUrl" if "userImageUrl" in body else "user_image_url"
    body = {**agreeing(body), name: URL}
    for other in {"image", "user_image_url"} - {name}:
        body.pop(other, None)
    if body.get("person_box") is not None:
        body |= {"person_box": [88, 20, 212, 388], "person": None}
    case.body = body
    return body
