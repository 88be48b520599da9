"""The built template, deployed to the local AWS, and how it is used there.

Around it are what it calls: Cloudinary's stand-in, and an emulator of Firestore.

What differs from the template is here, each with its reason; tests/README.md says it too.
"""

from __future__ import annotations

import json
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.stack import calls, loopback
from tests.stack.engine import Engine, PartMissingError
from tests.stack.local_aws import ROOT_USER, LocalAws, local_aws
from tests.stack.sam import REGION, Sam, functions
from tests.standins.cloudinary import CloudinaryStandIn
from tests.standins.firestore import FirestoreEmulator, service_account
from tests.standins.npm import NodeMissingError

NAME = "tryon-masks"
ORIGIN = "https://shop.example.com"
"""Whose pages may call the API, and read masks and results."""
PROJECT = "shop-app"
"""The Firestore project."""
LEFT_OUT = {
    "BatchMayRunItself": "the local CloudFormation does not know AWS::IAM::RolePolicy",
    "PhotoBucketPolicy": "it denies what does not come over TLS, and the local S3 speaks HTTP",
    "MaskBucketPolicy": "the same",
}
NAMED = {
    "OnceTable": ("TableName", "once"),
    "JobsTable": ("TableName", "jobs"),
    "WorkQueue": ("QueueName", "work"),
    "PhotoBucket": ("BucketName", "photos"),
    "MaskBucket": ("BucketName", "masks"),
    "CallbackSecret": ("Name", "callbacks"),
    "BatchMachine": ("StateMachineName", "lists"),
}
"""How these are called, behind the stack's name: ``events/env.local.json`` knows them by it."""
AWS_PORT = 4566
"""Where functions find AWS."""
HIDDEN_S = 65
"""How long a message is hidden that was taken. The template's 360 s would be waited for twice; it
must be more than the 60 s that a dead worker holds its photo."""
TRIES = 3
"""Deliveries before a message is given up: the template's five take seven minutes."""
FORM_S = 60
"""How long an upload form works: the least that can be set."""
WORKERS = 2
DEPLOY_S = 300
START_S = 900
"""On a busy machine, in a container of one processor's share."""


@dataclass(frozen=True)
class Caller:
    """A principal that may call the API, by its access key and secret."""

    key: str
    secret: str


@dataclass
class Answer:
    """What the HTTP API answered."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


@dataclass
class Deployed:
    """The stack, with what it finds around it: photos at ``photo_url``, Cloudinary's stand-in."""

    engine: Engine
    aws: LocalAws
    host: str
    cloudinary: CloudinaryStandIn
    firestore: FirestoreEmulator
    photos: dict[str, bytes] = field(default_factory=dict)
    name: str = NAME
    parameters: dict[str, str] = field(default_factory=dict)
    _last_words: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The template's."""
        (stack,) = self.aws.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def physical(self, logical: str) -> str:
        """What a resource of the template is called."""
        found = self.aws.client("cloudformation").describe_stack_resource(
            StackName=self.name, LogicalResourceId=logical
        )
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name

    @property
    def environ(self) -> dict[str, str]:
        """The settings for the command line, with which it works on the stack's parts."""
        key, secret = ROOT_USER
        store = {"MASK_STORE": self.parameters["MaskStore"]}
        if store["MASK_STORE"] == "s3":
            store["MASK_BUCKET"] = self.outputs["MaskBucketName"]
        else:
            store["CLOUDINARY_URL"] = self.cloudinary.url
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "PHOTO_BUCKET": self.outputs["PhotoBucketName"],
            "JOBS_TABLE": self.physical("JobsTable"),
            "IDEMPOTENCY_TABLE": self.physical("OnceTable"),
            "FIRESTORE_PROJECT": self.parameters.get("FirestoreProject", ""),
            "FIRESTORE_EMULATOR_HOST": self.firestore.host,
            **store,
        }

    @property
    def endpoint(self) -> str:
        """Where functions, and whoever is on this machine, find AWS."""
        return f"http://{self.host}:{AWS_PORT}"

    def photo_url(self, path: str) -> str:
        """Where a function finds the photo of that path."""
        return f"http://{self.host}{path}"

    def caller(self, name: str) -> Caller:
        """A new principal that may call the API, and nothing else."""
        iam = self.aws.client("iam")
        iam.create_user(UserName=name)
        allowed = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=name, PolicyName="call", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Caller(key["AccessKeyId"], key["SecretAccessKey"])

    def call(
        self, caller: Caller | None, method: str, path: str, body: object = None, **headers: str
    ) -> Answer:
        """Call the HTTP API, signed by ``caller``; None: unsigned."""
        url = f"{self.aws.origin}{path}"
        # The API's own name resolves to loopback on some machines only.
        host = urllib.parse.urlsplit(self.outputs["ApiUrl"]).netloc
        given = {"Host": host, "Content-Type": "application/json", **headers}
        request = AWSRequest(method, url, given, json.dumps(body) if body else None)
        if caller is not None:
            credentials = Credentials(caller.key, caller.secret)
            SigV4Auth(credentials, "execute-api", REGION).add_auth(request)
        answer = requests.request(
            method, url, data=request.data, headers=dict(request.headers), timeout=calls.TIMEOUT_S
        )
        return Answer(answer.status_code, answer.json(), answer.headers)

    def wait_until_ready(self) -> Answer:
        """Wait for a container of the API that has loaded its models; what its health says."""
        answers: list[Answer] = []

        def ready() -> bool:
            answers.append(self.call(None, "GET", "/v1/health"))
            return answers[-1].status == 200

        wait_until(ready, START_S, "the API")
        return answers[-1]

    def upload(self, form: Mapping[str, Any], photo: bytes) -> requests.Response:
        """Send an upload form to S3, as a browser does."""
        path = urllib.parse.urlsplit(form["url"]).path
        return requests.post(
            f"{self.aws.origin}{path}", data=form["fields"], files={"file": photo}, timeout=60
        )

    def read_object(self, key: str) -> bytes:
        """An object of the photo bucket."""
        bucket = self.outputs["PhotoBucketName"]
        body = self.aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
        data: bytes = body.read()
        return data

    def in_queue(self, output: str) -> tuple[int, int]:
        """How many messages wait in the queue of that output, and how many are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.aws.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[output], AttributeNames=names
        )["Attributes"]
        waiting, hidden = (int(found[name]) for name in names)
        return waiting, hidden

    def log(self, function: str) -> list[dict[str, Any]]:
        """Every record of a function's steps, from its containers: those that were killed, too."""
        said = [*self._last_words[function], *map(self._said, self.containers(function))]
        return [record for output in said for record in calls.records(output)]

    def kill(self, function: str) -> int:
        """Kill a function's containers, whatever they are at; how many that were."""
        containers = self.containers(function)
        # Whoever runs them removes them when they are dead.
        self._last_words[function] += map(self._said, containers)
        self.engine.run("kill", *containers)
        return len(containers)

    def _said(self, container: str) -> str:
        output = self.engine.run("logs", container)
        return output.stdout + output.stderr

    def containers(self, function: str) -> list[str]:
        """The running containers of a function."""
        name = self.physical(function)
        listed = self.engine.run(
            *("ps", "--quiet", "--no-trunc", "--filter", f"network={loopback.NETWORK}")
        ).stdout.split()
        wanted = f"AWS_LAMBDA_FUNCTION_NAME={name}"
        shown = ["inspect", "--format", "{{json .Config.Env}}"]
        return [one for one in listed if wanted in json.loads(self.engine.run(*shown, one).stdout)]


def wait_until(there: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until it is there; how long that took, in seconds."""
    start = time.monotonic()
    while not there():
        assert time.monotonic() - start < seconds, f"{what}: not after {seconds:.0f} s"
        time.sleep(0.2)
    return time.monotonic() - start


@contextmanager
def surroundings(sam: Sam, folder: Path) -> Iterator[Deployed]:
    """What a stack needs around it while the block runs; nothing is deployed yet.

    Raises
    ------
    PartMissingError
    """
    with ExitStack() as stack:
        cloudinary = stack.enter_context(CloudinaryStandIn())
        try:
            firestore = stack.enter_context(FirestoreEmulator())
        except NodeMissingError as error:
            raise PartMissingError(str(error)) from error
        photos: dict[str, bytes] = {}
        photo_port = stack.enter_context(loopback.photo_server(photos))
        aws_port = loopback.free_port()
        same = [_port(cloudinary.origin), _port(f"//{firestore.host}")]
        ports = {80: photo_port, AWS_PORT: aws_port, **{port: port for port in same}}
        host = stack.enter_context(loopback.from_containers(sam.engine, ports))
        stack.callback(_remove_containers, sam.engine)
        aws = stack.enter_context(local_aws(sam.engine, aws_port, folder))
        yield Deployed(sam.engine, aws, host, cloudinary, firestore, photos)


@contextmanager
def deployed(sam: Sam, folder: Path) -> Iterator[Deployed]:
    """The stack while the block runs, with short waits.

    Raises
    ------
    PartMissingError
    """
    with surroundings(sam, folder) as there:
        deploy(sam, there, in_cloudinary(there), hurried=True)
        yield there


def deployed_beside(sam: Sam, there: Deployed) -> Deployed:
    """Another stack of the template in the same AWS: masks in S3, steps in Firestore."""
    other = replace(there, name=f"{NAME}-other", parameters={}, _last_words=defaultdict(list))
    deploy(sam, other, {"MaskStore": "s3"} | in_firestore(there), hurried=True)
    return other


def in_cloudinary(there: Deployed) -> dict[str, str]:
    """The parameters with which masks go to Cloudinary's stand-in."""
    url = there.cloudinary.url.replace(loopback.LOOPBACK, there.host)
    secret = there.aws.secret(f"{NAME}-cloudinary", url)
    return {"MaskStore": "cloudinary", "CloudinarySecretArn": secret}


def in_firestore(there: Deployed) -> dict[str, str]:
    """The parameters with which steps go to the emulator of Firestore."""
    secret = there.aws.secret(f"{NAME}-firestore", service_account())
    return {"FirestoreProject": PROJECT, "FirestoreSecretArn": secret}


def _port(address: str) -> int:
    port = urllib.parse.urlsplit(address).port
    assert port is not None
    return port


def _remove_containers(engine: Engine) -> None:
    """Those that were left: a network with any in it cannot be removed."""
    listed = ["ps", "--all", "--quiet", "--filter", f"network={loopback.NETWORK}"]
    for container in engine.run(*listed).stdout.split():
        engine.run("rm", "--force", container)


def deploy(sam: Sam, there: Deployed, chosen: Mapping[str, str], *, hurried: bool) -> None:
    """Deploy the template, with these parameters.

    ``hurried``: what waits, waits less than the template says.
    """
    there.parameters |= {
        **chosen,
        "AuthMode": "IAM",
        "CorsOrigins": ORIGIN,
        "ModelSet": sam.model_set,
        "MemorySize": "1769",
        "Threads": "1",
        "WorkerConcurrency": str(WORKERS),
    }
    cloudformation = there.aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=there.name,
        TemplateBody=json.dumps(_adapted(sam, there, hurried)),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in there.parameters.items()],
    )

    def status() -> str:
        (stack,) = cloudformation.describe_stacks(StackName=there.name)["Stacks"]
        return str(stack["StackStatus"])

    wait_until(lambda: not status().endswith("IN_PROGRESS"), DEPLOY_S, "the deployment")
    if status() != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=there.name)["StackEvents"]
        said = [f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in events]
        raise RuntimeError("\n".join([f"the deployment is {status()}", *said]))


def _adapted(sam: Sam, there: Deployed, hurried: bool) -> dict[str, Any]:
    """The built template as the local AWS can take it."""
    document = sam.document()
    resources = document["Resources"]
    for name in LEFT_OUT:
        del resources[name]
    for resource, (member, name) in NAMED.items():
        resources[resource]["Properties"][member] = f"{there.name}-{name}"
    for function in functions(document).values():
        properties = function["Properties"]
        properties["ImageUri"] = sam.image
        properties.setdefault("Environment", {}).setdefault("Variables", {}).update(
            {
                "AWS_ENDPOINT_URL": there.endpoint,
                "FIRESTORE_EMULATOR_HOST": f"{there.host}:{_port(f'//{there.firestore.host}')}",
                # The photos' server has no certificate.
                "ALLOW_HTTP": "1",
                # There is no X-Ray.
                "POWERTOOLS_TRACE_DISABLED": "1",
                **({"UPLOAD_FORM_TTL_S": str(FORM_S), "WORK_TRIES": str(TRIES)} if hurried else {}),
            }
        )
    # The emulator counts a container's start as part of its first call.
    resources["ApiFunction"]["Properties"]["Timeout"] = calls.TIMEOUT_S
    if hurried:
        queue = resources["WorkQueue"]["Properties"]
        queue["VisibilityTimeout"] = HIDDEN_S
        queue["RedrivePolicy"]["maxReceiveCount"] = TRIES
    source = resources["WorkerFunction"]["Properties"]["Events"]["Work"]["Properties"]
    # The local CloudFormation does not make a number of a parameter.
    source["ScalingConfig"]["MaximumConcurrency"] = WORKERS
    # AWS has no such action, sqs:SendMessage allows it; the local one asks for it.
    (may_send,) = (
        statement
        for policy in resources["WorkerRole"]["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement.get("Sid") == "QueueItemsAndCallbacks"
    )
    may_send["Action"] = ["sqs:SendMessage", "sqs:SendMessageBatch"]
    # There, a Ref of a secret is its name.
    arn = {"Fn::GetAtt": ["CallbackSecret", "Id"]}
    adapted: dict[str, Any] = _replaced(document, {"Ref": "CallbackSecret"}, arn)
    return adapted


def _replaced(node: Any, old: object, new: object) -> Any:
    if node == old:
        return new
    if isinstance(node, dict):
        return {key: _replaced(value, old, new) for key, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, old, new) for value in node]
    return node
