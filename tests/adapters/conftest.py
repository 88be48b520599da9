"""AWS by moto, and a photo source whose only network is the make-believe internet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from tests.standins.internet import PHOTO, Authority, Internet

from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.adapters.http import HttpPhotoSource

REGION = "eu-central-1"
TABLE = "state"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account with nothing in it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture
def table(aws: None) -> Any:
    """A table as the template's are: items by ``id``."""
    return boto3.resource("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def internet(authority: Authority) -> Iterator[Internet]:
    internet = Internet(authority)
    yield internet
    internet.close()


@pytest.fixture
def source(internet: Internet, authority: Authority) -> Callable[..., HttpPhotoSource]:
    def make(timeout_s: float = 60, allow_http: bool = False) -> HttpPhotoSource:
        return HttpPhotoSource(
            len(PHOTO),
            timeout_s,
            AddressRules(allow_http),
            resolve=internet.resolve,
            dial=internet.dial,
            tls=authority.trusting,
        )

    return make
