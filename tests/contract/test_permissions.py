"""The functions' roles under an IAM that enforces them: what the code does, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws, settings
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.responses import BaseResponse
from moto.dynamodb.responses import DynamoHandler
from moto.secretsmanager.responses import SecretsManagerResponse
from moto.sqs.responses import SQSResponse
from moto.stepfunctions.responses import StepFunctionResponse
from tests.contract.template_file import RESOURCES, Deployment

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.batches import DynamoBatches
from tryon_masks.adapters.idempotency import DynamoIdempotency
from tryon_masks.adapters.jobs import DynamoJobs, SqsQueue
from tryon_masks.adapters.runs import StepFunctionsRuns
from tryon_masks.adapters.s3 import S3BatchFiles, S3MaskStore, S3Objects, s3_client
from tryon_masks.adapters.secrets import read_secret
from tryon_masks.domain.errors import StoreFailed
from tryon_masks.ports import EncodedImage, MaskTask, UploadTask
from tryon_masks.telemetry import request_log

REGION, ACCOUNT = "eu-central-1", "123456789012"
PHOTOS, MASKS = "the-photo-bucket", "the-mask-bucket"
UPLOAD, RESULT = "uploads/user-1/photo", "results/uploads/user-1/photo.json"
STATES = f"arn:aws:states:{REGION}:{ACCOUNT}"
MACHINE = f"{STATES}:stateMachine:lists"
RUN = f"{STATES}:execution:lists:batch-1"
BATCH = f"batches/{'1' * 32}.jsonl"
QUEUE = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/"
MASK = EncodedImage(b"pixels", "image/png", "png")
KEY = {"id": {"S": "1"}}
TASK = MaskTask("x", "user-1", {})

Forbidden = dict[str, tuple[str, str, dict[str, Any]]]

API: Forbidden = {
    "read an upload": ("s3", "get_object", {"Bucket": PHOTOS, "Key": UPLOAD}),
    "read a result": ("s3", "get_object", {"Bucket": PHOTOS, "Key": RESULT}),
    "write a result": ("s3", "put_object", {"Bucket": PHOTOS, "Key": RESULT, "Body": b""}),
    "read a batch": ("s3", "get_object", {"Bucket": PHOTOS, "Key": BATCH}),
    "list photos": ("s3", "list_objects_v2", {"Bucket": PHOTOS}),
    "delete a photo": ("s3", "delete_object", {"Bucket": PHOTOS, "Key": UPLOAD}),
    "write beside masks": ("s3", "put_object", {"Bucket": MASKS, "Key": "index", "Body": b""}),
    "change a job": ("dynamodb", "delete_item", {"TableName": "jobs", "Key": KEY}),
    "list jobs": ("dynamodb", "scan", {"TableName": "jobs"}),
    "list what was made": ("dynamodb", "scan", {"TableName": "once"}),
    "use another table": ("dynamodb", "get_item", {"TableName": "other", "Key": KEY}),
    "take work": ("sqs", "receive_message", {"QueueUrl": QUEUE + "work"}),
    "empty the queue": ("sqs", "purge_queue", {"QueueUrl": QUEUE + "work"}),
    "fill another": ("sqs", "send_message", {"QueueUrl": QUEUE + "failed", "MessageBody": "{}"}),
    "read another secret": ("secretsmanager", "get_secret_value", {"SecretId": "other"}),
    "work off another's list": (
        "stepfunctions",
        "start_execution",
        {"stateMachineArn": f"{STATES}:stateMachine:others", "input": "{}"},
    ),
    "stop a run": ("stepfunctions", "stop_execution", {"executionArn": RUN}),
    "sign callbacks": ("secretsmanager", "get_secret_value", {"SecretId": "callback"}),
}
WORKER: Forbidden = {
    "write an upload": ("s3", "put_object", {"Bucket": PHOTOS, "Key": UPLOAD, "Body": b""}),
    "read a result": ("s3", "get_object", {"Bucket": PHOTOS, "Key": RESULT}),
    "list masks": ("s3", "list_objects_v2", {"Bucket": MASKS}),
    "delete a photo": ("s3", "delete_object", {"Bucket": PHOTOS, "Key": UPLOAD}),
    "write beside masks": ("s3", "put_object", {"Bucket": MASKS, "Key": "index", "Body": b""}),
    "read beside masks": ("s3", "get_object", {"Bucket": MASKS, "Key": "private/key"}),
    "write a batch": ("s3", "put_object", {"Bucket": PHOTOS, "Key": BATCH, "Body": b""}),
    "take another's job": ("dynamodb", "put_item", {"TableName": "other", "Item": KEY}),
    "lose a job": ("dynamodb", "delete_item", {"TableName": "jobs", "Key": KEY}),
    "list jobs": ("dynamodb", "scan", {"TableName": "jobs"}),
    "use another table": ("dynamodb", "get_item", {"TableName": "other", "Key": KEY}),
    "fill another": ("sqs", "send_message", {"QueueUrl": QUEUE + "failed", "MessageBody": "{}"}),
    "empty the queue": ("sqs", "purge_queue", {"QueueUrl": QUEUE + "work"}),
    "work off a list": (
        "stepfunctions",
        "start_execution",
        {"stateMachineArn": MACHINE, "input": "{}"},
    ),
    "take what was given up": ("sqs", "receive_message", {"QueueUrl": QUEUE + "failed"}),
    "read another secret": ("secretsmanager", "get_secret_value", {"SecretId": "other"}),
}
Become = Callable[[str], None]


def _named(service: str, kind: str, parameter: str) -> Callable[[BaseResponse], str]:
    """Which resource a request is about. Moto itself asks that of S3 alone."""

    def resource(request: BaseResponse) -> str:
        body = json.loads(request.raw_body)
        (named,) = body.get("RequestItems", [body.get(parameter, "*")])
        name = str(named).rpartition("/")[2]
        return name if name.startswith("arn:") else f"{_arn(service)}:{kind}{name}"

    return resource


def _of_states(request: BaseResponse) -> str:
    """Every call to Step Functions has one ARN, which the policies are about."""
    body = json.loads(request.raw_body)
    (arn,) = (value for name, value in body.items() if name.endswith("Arn"))
    return str(arn)


def _arn(service: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}"


@pytest.fixture
def secret() -> list[str]:
    """ARNs of the secrets that the functions need, once they are there: Firestore's, callbacks'."""
    return []


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch, secret: list[str]) -> Iterator[Become]:
    """From its first call on, IAM is enforced, and the process is a role of the stack."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setattr(StepFunctionResponse, "_determine_resource", _of_states, raising=False)
    for handler, *named in (
        (DynamoHandler, "dynamodb", "table/", "TableName"),
        (SQSResponse, "sqs", "", "QueueUrl"),
        (SecretsManagerResponse, "secretsmanager", "secret:", "SecretId"),
    ):
        monkeypatch.setattr(handler, "_determine_resource", _named(*named), raising=False)

    def role(name: str) -> None:
        deployment = Deployment(
            AuthMode="IAM", MaskStore="s3", FirestoreProject="my-app", FirestoreSecretArn=secret[0]
        )
        deployment.values |= {
            "PhotoBucket.Arn": f"arn:aws:s3:::{PHOTOS}",
            "MaskBucket.Arn": f"arn:aws:s3:::{MASKS}",
            "ApiFunctionLogs.Arn": f"{_arn('logs')}:log-group:api:*",
            "WorkerFunctionLogs.Arn": f"{_arn('logs')}:log-group:worker:*",
            "OnceTable.Arn": f"{_arn('dynamodb')}:table/once",
            "JobsTable.Arn": f"{_arn('dynamodb')}:table/jobs",
            "WorkQueue.Arn": f"{_arn('sqs')}:work",
            "CallbackSecret": secret[1],
            "BatchMachine": MACHINE,
            "BatchMachine.Name": "lists",
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::AccountId": ACCOUNT,
        }
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

    with mock_aws(), request_log("request-1", "user-1"):
        secret += _fill()
        yield role


def _fill() -> list[str]:
    """Everything that there is; gives the ARNs of the functions' own secrets."""
    s3, dynamodb, sqs = boto3.client("s3"), boto3.client("dynamodb"), boto3.client("sqs")
    for bucket in (PHOTOS, MASKS):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    there = ((PHOTOS, UPLOAD), (PHOTOS, RESULT), (PHOTOS, BATCH), (MASKS, "private/key"))
    for bucket, key in (*there, (PHOTOS, f"results/{BATCH}")):
        body = json.dumps(asdict(TASK)) if key == BATCH else "{}"
        s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
    for table in ("once", "jobs", "other"):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    for queue in ("work", "failed"):
        sqs.create_queue(QueueName=queue)
    sqs.send_message(QueueUrl=QUEUE + "work", MessageBody="{}")
    for machine in ("lists", "others"):
        boto3.client("stepfunctions").create_state_machine(
            name=machine, definition="{}", roleArn="arn:aws:iam::123456789012:role/x"
        )
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="other", SecretString="hush")
    return [
        secrets.create_secret(Name=name, SecretString="hush")["ARN"] for name in ("own", "callback")
    ]


def _remembers() -> None:
    """Every call that a memory of what was made needs: put, update, get and delete."""
    idempotency = DynamoIdempotency("once", aws_client("dynamodb", 2.0), 600)

    def fails() -> dict[str, Any]:
        raise StoreFailed

    assert idempotency.run("key", lambda: {"made": 1}) == idempotency.run(
        "key", lambda: {"made": 2}
    )
    with pytest.raises(StoreFailed):
        idempotency.run("other", fails)
    client = aws_client("dynamodb", 2.0)
    assert client.get_item(TableName="once", Key=KEY, ConsistentRead=True)


def _keeps_masks() -> None:
    assert "upper" in S3MaskStore(MASKS, "masks", s3_client(5.0), None, 60).save(
        "key", {"upper": MASK}
    )
    # A presigned address can do what its signer may.
    found = s3_client(5.0).get_object(Bucket=MASKS, Key="masks/key/upper.png")
    assert found["Body"].read() == MASK.data


def test_the_api_may_do_what_it_does(become: Become, secret: list[str]) -> None:
    become("ApiRole")

    _remembers()
    _keeps_masks()
    jobs = DynamoJobs("jobs", aws_client("dynamodb", 2.0), 600)
    assert jobs.add("1", "user-1", UploadTask(UPLOAD, "user-1")) == jobs.get("1")
    SqsQueue(QUEUE + "work", aws_client("sqs", 2.0)).send({"job_id": "1"})
    batches = DynamoBatches("jobs", aws_client("dynamodb", 2.0), 600)
    assert batches.add("1", "user-1", 2) == batches.get("1")
    S3BatchFiles(PHOTOS, s3_client(5.0), "results/", 60).put_items("1" * 32, [TASK])
    assert batches.count_list_items("1", 1)["success"] == 0
    states = aws_client("stepfunctions", 2.0)
    StepFunctionsRuns(MACHINE, states).start("batch-1", "manifests/user-1/a.jsonl", None)
    assert states.describe_execution(executionArn=RUN)
    # And so can an address.
    assert s3_client(5.0).get_object(Bucket=PHOTOS, Key=f"results/{BATCH}")
    # And so can a form.
    s3_client(5.0).put_object(Bucket=PHOTOS, Key=UPLOAD, Body=b"photo")
    assert read_secret(secret[0], aws_client("secretsmanager", 2.0)) == "hush"


def test_the_worker_may_do_what_it_does(become: Become, secret: list[str]) -> None:
    become("WorkerRole")

    _remembers()
    _keeps_masks()
    objects = S3Objects(s3_client(5.0))
    assert objects.get(PHOTOS, UPLOAD, 100)[0] == b"{}"
    # To learn that one is gone.
    assert s3_client(5.0).list_objects_v2(Bucket=PHOTOS)["KeyCount"] > 0
    objects.put_json(PHOTOS, RESULT, {"status": "success"}, {"user-id": "user-1"})
    jobs = DynamoJobs("jobs", aws_client("dynamodb", 2.0), 600)
    jobs.update("1", "running")
    assert jobs.get("1") is None
    jobs.add("2", "user-1", TASK)
    assert jobs.get_all(["2"]).keys() == {"2"}
    batches = DynamoBatches("jobs", aws_client("dynamodb", 2.0), 600)
    assert batches.get("1") is None
    assert batches.set_item_state("1", 0, "success") is None
    batches.set_list_item_state("1", 0, "success")
    files = S3BatchFiles(PHOTOS, s3_client(5.0), "results/", 60)
    assert files.items("1" * 32) == [TASK]
    assert files.put_results("1" * 32, [{}]) == f"results/{BATCH}"
    sqs = aws_client("sqs", 2.0)
    (message,) = sqs.receive_message(QueueUrl=QUEUE + "work")["Messages"]
    sqs.get_queue_attributes(QueueUrl=QUEUE + "work", AttributeNames=["All"])
    queue = SqsQueue(QUEUE + "work", sqs)
    queue.redeliver(message["ReceiptHandle"], 10)
    # Many at once need the same permission in AWS, of which moto knows nothing.
    queue.send({"callback": "1"})
    sqs.delete_message(QueueUrl=QUEUE + "work", ReceiptHandle=message["ReceiptHandle"])
    for arn in secret:
        assert read_secret(arn, aws_client("secretsmanager", 2.0)) == "hush"


@pytest.mark.parametrize(("role", "forbidden"), [("ApiRole", API), ("WorkerRole", WORKER)])
def test_a_role_may_do_nothing_else(become: Become, role: str, forbidden: Forbidden) -> None:
    become(role)

    # The default session still is who filled the place.
    session = boto3.Session()
    assert session.client("dynamodb").get_item(TableName="once", Key=KEY)
    said = {}
    for name, (service, call, what) in forbidden.items():
        try:
            getattr(session.client(service), call)(**what)
        except ClientError as error:
            said[name] = error.response["Error"]["Code"]

    # Moto names the error in XML alone.
    assert said.keys() == forbidden.keys()
    assert set(said.values()) == {"AccessDenied", "403"}
