"""The functions' roles under an IAM that enforces them: what the code does, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws, settings
from moto.core.authorization import ActionAuthenticatorMixin
from tests.contract.template_file import RESOURCES, Deployment

from tryon_masks.adapters.s3 import S3MaskStore, S3Objects, s3_client
from tryon_masks.domain.errors import PhotoFetchFailed, StoreFailed
from tryon_masks.ports import EncodedImage
from tryon_masks.telemetry import request_log

REGION = "eu-central-1"
PHOTOS, MASKS = "the-photo-bucket", "the-mask-bucket"
MASK = EncodedImage(b"pixels", "image/png", "png")
Become = Callable[[str], Any]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Iterator[Become]:
    """From its first call on, IAM is enforced; gives the S3 client that a role of the stack has."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    deployment = Deployment(AuthMode="IAM", MaskStore="s3")
    deployment.values |= {
        "PhotoBucket.Arn": f"arn:aws:s3:::{PHOTOS}",
        "MaskBucket.Arn": f"arn:aws:s3:::{MASKS}",
        "ApiFunctionLogs.Arn": f"arn:aws:logs:{REGION}:123456789012:log-group:api:*",
        "WorkerFunctionLogs.Arn": f"arn:aws:logs:{REGION}:123456789012:log-group:worker:*",
        "OnceTable.Arn": f"arn:aws:dynamodb:{REGION}:123456789012:table/once",
        "FailedUploads.Arn": f"arn:aws:sqs:{REGION}:123456789012:failed",
    }

    def role(name: str) -> Any:
        iam, sts = boto3.client("iam"), boto3.client("sts")
        trust = deployment.resolve(RESOURCES[name]["Properties"]["AssumeRolePolicyDocument"])
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        policy = {"Version": "2012-10-17", "Statement": deployment.statements(name)}
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(policy))
        arn = made["Role"]["Arn"]
        key = sts.assume_role(RoleArn=arn, RoleSessionName="function")["Credentials"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        monkeypatch.setenv("AWS_SESSION_TOKEN", key["SessionToken"])
        monkeypatch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        return s3_client(5.0)

    with mock_aws(), request_log("request-1", "user-1"):
        admin = boto3.client("s3")
        for bucket in (PHOTOS, MASKS):
            admin.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        for key in ("uploads/photo.jpg", "results/uploads/photo.jpg.json"):
            admin.put_object(Bucket=PHOTOS, Key=key, Body=b"{}")
        admin.put_object(Bucket=MASKS, Key="private/key", Body=b"{}")
        yield role


def _store(client: Any, prefix: str = "masks") -> S3MaskStore:
    return S3MaskStore(MASKS, prefix, client, None, 60)


def test_the_worker_reads_uploads_and_writes_results_and_masks(become: Become) -> None:
    client = become("WorkerRole")
    objects = S3Objects(client)

    assert objects.get(PHOTOS, "uploads/photo.jpg", 100)[0] == b"{}"
    objects.put_json(PHOTOS, "results/uploads/photo.jpg.json", {"status": "success"})
    assert "upper" in _store(client).save("key", {"upper": MASK})


def test_the_worker_does_nothing_else(become: Become) -> None:
    client = become("WorkerRole")
    objects = S3Objects(client)

    with pytest.raises(PhotoFetchFailed):
        objects.get(PHOTOS, "results/uploads/photo.jpg.json", 100)
    with pytest.raises(StoreFailed):
        objects.put_json(PHOTOS, "uploads/another.json", {})
    with pytest.raises(StoreFailed):
        _store(client, "elsewhere").save("key", {"upper": MASK})
    for forbidden in (
        lambda: client.list_objects_v2(Bucket=PHOTOS),
        lambda: client.delete_object(Bucket=PHOTOS, Key="uploads/photo.jpg"),
        lambda: client.get_object(Bucket=MASKS, Key="private/key"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()


def test_the_api_writes_masks_and_presigns_what_it_may_read(become: Become) -> None:
    client = become("ApiRole")

    assert "upper" in _store(client).save("key", {"upper": MASK})
    assert client.get_object(Bucket=MASKS, Key="masks/key/upper.png")["Body"].read() == MASK.data


def test_the_api_does_not_touch_uploads(become: Become) -> None:
    client = become("ApiRole")

    with pytest.raises(PhotoFetchFailed):
        S3Objects(client).get(PHOTOS, "uploads/photo.jpg", 100)
    with pytest.raises(StoreFailed):
        S3Objects(client).put_json(PHOTOS, "results/a.json", {})
