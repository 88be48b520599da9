from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

from tryon_masks.adapters.secrets import read_secret, secrets_client
from tryon_masks.domain.errors import SettingsError

URL = "cloudinary://key:hush@cloud"
SERVICE_ACCOUNT = json.dumps({"type": "service_account", "private_key": "hush"})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield secrets_client(5.0)


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        (URL, URL),
        (json.dumps({"CLOUDINARY_URL": URL}), URL),
        (SERVICE_ACCOUNT, SERVICE_ACCOUNT),
        (json.dumps({"document": SERVICE_ACCOUNT}), SERVICE_ACCOUNT),
        ('{"nested": {"a": 1}}', '{"nested": {"a": 1}}'),
        ('["a list"]', '["a list"]'),
        ("{not json", "{not json"),
        (f"  {URL}\n", URL),
    ],
)
def test_a_secret_is_its_text_or_the_single_value_in_it(client: Any, kept: str, read: str) -> None:
    arn = client.create_secret(Name="a-secret", SecretString=kept)["ARN"]

    assert read_secret(arn, client) == read


def test_a_secret_that_is_not_there_stops_the_start_without_telling_its_arn(client: Any) -> None:
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:gone-AbCdEf"

    with pytest.raises(SettingsError, match="ResourceNotFoundException") as caught:
        read_secret(arn, client)

    assert "gone" not in str(caught.value)
    assert arn in str(caught.value.detail)


@pytest.mark.parametrize("kept", [{"SecretBinary": b"hush"}, {"SecretString": "  "}])
def test_a_secret_without_text_stops_the_start(client: Any, kept: dict[str, Any]) -> None:
    arn = client.create_secret(Name="a-secret", **kept)["ARN"]

    with pytest.raises(SettingsError, match="holds no text"):
        read_secret(arn, client)
