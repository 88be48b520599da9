from __future__ import annotations

import pytest

from tryon_masks.adapters.aws import aws_client
from tryon_masks.domain.errors import SettingsError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")


@pytest.mark.parametrize("service", ["s3", "secretsmanager"])
def test_no_region_stops_the_start(service: str) -> None:
    with pytest.raises(SettingsError, match="AWS_DEFAULT_REGION"):
        aws_client(service, 1.0)


@pytest.mark.parametrize("service", ["s3", "secretsmanager"])
def test_no_credentials_stop_the_start(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")

    with pytest.raises(SettingsError, match="No AWS credentials"):
        aws_client(service, 1.0)


def test_a_profile_that_is_not_there_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")

    with pytest.raises(SettingsError, match="ProfileNotFound"):
        aws_client("s3", 1.0)


def test_the_client_has_the_timeouts_and_tries_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")

    config = aws_client("s3", 1.5, tries=2).meta.config

    assert (config.connect_timeout, config.read_timeout) == (1.5, 1.5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
