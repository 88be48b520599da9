"""What the linters do not see in the template: that it fits the code, and that it is closed."""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from benchmarks.speed import PRICE_PER_GB_SECOND, PRICE_PER_REQUEST
from cfnlint import lint
from tests.contract.template_file import PARAMETERS, RESOURCES, ROOT, TEMPLATE, Deployment, of_type

from tryon_masks.adapters.powertools import NAMESPACE
from tryon_masks.adapters.s3 import BATCHES
from tryon_masks.entrypoints.http.routes import HEALTH, METHODS
from tryon_masks.model_sets import model_sets
from tryon_masks.service import ANSWER_S, STORE_S
from tryon_masks.settings import MANIFESTS, RESULTS, UPLOADS, Settings

SOURCES = ROOT / "function"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PSEUDO_PARAMETERS = {
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackName",
}
HTTP_API_LIMIT_S = 30
LAMBDA_LIMIT_S = 900
LAMBDA_DESCRIPTION_LIMIT = 256

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:tryon/"
GLOBALS: dict[str, Any] = TEMPLATE["Globals"]["Function"]
GOOD: dict[str, str] = {
    "AuthMode": "JWT",
    "FirebaseProject": "my-app",
    "MaskStore": "cloudinary",
    "CloudinarySecretArn": SECRET + "cloudinary-a1B2c3",
}

MADE = {
    "BATCH_MACHINE_ARN": "arn:aws:states:eu-west-1:123456789012:stateMachine:BatchMachine-1A2b",
    "CALLBACK_SECRET_ARN": SECRET + "callbacks-a1B2c3",
    "PHOTO_BUCKET": "the-name-that-the-bucket-gets",
    "WORK_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/stack-WorkQueue-1A2B",
}
"""What a reference gives only once the stack is there."""

FUNCTIONS = of_type("AWS::Serverless::Function")
OF_THE_API: dict[str, Any] = FUNCTIONS["ApiFunction"]["Environment"]["Variables"]
BUCKETS = of_type("AWS::S3::Bucket")


def _walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value below ``node``."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from _walk(value)
    elif isinstance(node, list):
        for item in node:
            yield from _walk(item)


def _references(node: Any) -> set[str]:
    """Names of the parameters and resources that ``node`` refers to."""
    found = set()
    for key, value in _walk(node):
        if key == "Ref":
            found.add(value.split(".")[0])
        elif key == "Fn::GetAtt":
            found.add(value[0])
        elif key == "Fn::Sub":
            text, values = (value, {}) if isinstance(value, str) else value
            named = {name.split(".")[0] for name in re.findall(r"\$\{([^}]+)\}", text)}
            found |= named - values.keys()
    return found


def _combinations() -> list[dict[str, str]]:
    auth = [{"AuthMode": "JWT", "FirebaseProject": "my-app"}, {"AuthMode": "IAM"}]
    store = [
        {"MaskStore": "cloudinary", "CloudinarySecretArn": SECRET + "cloudinary-a1B2c3"},
        {"MaskStore": "s3"},
        {"MaskStore": "s3", "MaskPublicBaseUrl": "https://masks.example.com"},
    ]
    log = [
        {},
        {"FirestoreProject": "my-app", "FirestoreSecretArn": SECRET + "firestore-a1B2c3"},
    ]
    return [a | s | f for a, s, f in itertools.product(auth, store, log)]


COMBINATIONS = _combinations()


def _command(name: str) -> str:
    """The handler that a function runs."""
    overridden = FUNCTIONS[name].get("ImageConfig", {}).get("Command")
    if overridden is not None:
        (command,) = overridden
        return str(command)
    found = re.search(r'^CMD \["([^"]+)"\]$', DOCKERFILE, re.MULTILINE)
    assert found is not None
    return found[1]


def _routes() -> dict[str, dict[str, Any]]:
    return {route["RouteKey"]: route for route in of_type("AWS::ApiGatewayV2::Route").values()}


def test_every_name_that_is_referred_to_exists() -> None:
    known = PARAMETERS.keys() | RESOURCES.keys() | PSEUDO_PARAMETERS
    assert _references(RESOURCES) | _references(TEMPLATE["Outputs"]) <= known
    conditions = {value[0] for key, value in _walk(RESOURCES) if key == "Fn::If"}
    conditions |= {body["Condition"] for body in RESOURCES.values() if "Condition" in body}
    assert conditions <= TEMPLATE["Conditions"].keys()


def test_every_row_that_is_looked_up_exists() -> None:
    lookups = [value for key, value in _walk(RESOURCES) if key == "Fn::FindInMap"]
    assert lookups
    for table, row, column in lookups:
        rows = TEMPLATE["Mappings"][table]
        assert rows.keys() == {str(value) for value in PARAMETERS[row["Ref"]]["AllowedValues"]}
        assert all(column in values for values in rows.values())


def test_numbers_with_bounds_are_within_them_by_default() -> None:
    for name, parameter in PARAMETERS.items():
        if parameter["Type"] == "Number" and "Default" in parameter:
            value = parameter["Default"]
            assert parameter.get("MinValue", value) <= value <= parameter.get("MaxValue", value), (
                name
            )


def test_every_parameter_is_used() -> None:
    everywhere = [RESOURCES, GLOBALS, TEMPLATE["Conditions"]]
    assert PARAMETERS.keys() <= _references(everywhere)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_functions_handler_is_a_module_level_name(name: str) -> None:
    module, _, attribute = _command(name).rpartition(".")
    source = SOURCES.joinpath(*module.split(".")).with_suffix(".py")
    stored = {
        node.id
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert attribute in stored


def test_each_way_in_has_a_function_of_its_own() -> None:
    assert {_command(name) for name in FUNCTIONS} == {
        "tryon_masks.entrypoints.api.handler",
        "tryon_masks.entrypoints.worker.handler",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_one_image_for_intel(name: str) -> None:
    assert FUNCTIONS[name]["PackageType"] == "Image"
    assert GLOBALS["Architectures"] == ["x86_64"]
    assert RESOURCES[name]["Metadata"] == RESOURCES["ApiFunction"]["Metadata"]


def test_no_function_outlives_its_caller() -> None:
    assert FUNCTIONS["ApiFunction"]["Timeout"] < HTTP_API_LIMIT_S
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    assert integration["TimeoutInMillis"] <= HTTP_API_LIMIT_S * 1000
    assert max(PARAMETERS["WorkerTimeout"]["AllowedValues"]) <= LAMBDA_LIMIT_S


def test_every_function_has_the_time_that_a_photo_needs() -> None:
    settings = Settings.from_env(Deployment(**GOOD).environment() | MADE, on_lambda=True)
    needed = settings.photo_time_s + STORE_S + ANSWER_S
    assert needed < FUNCTIONS["ApiFunction"]["Timeout"]
    assert needed < min(PARAMETERS["WorkerTimeout"]["AllowedValues"])


@pytest.mark.parametrize("timeout", PARAMETERS["WorkerTimeout"]["AllowedValues"])
def test_a_message_stays_hidden_while_anybody_may_be_at_it(timeout: int) -> None:
    deployment = Deployment(**GOOD, WorkerTimeout=str(timeout))
    assert deployment.refused() == []
    queue = deployment.resolve(RESOURCES["WorkQueue"]["Properties"])
    assert FUNCTIONS["WorkerFunction"]["Timeout"] == {"Ref": "WorkerTimeout"}
    assert queue["VisibilityTimeout"] >= 6 * timeout
    tries = queue["RedrivePolicy"]["maxReceiveCount"]
    assert queue["MessageRetentionPeriod"] > tries * queue["VisibilityTimeout"]


def test_the_worker_knows_which_delivery_is_the_last() -> None:
    policy = RESOURCES["WorkQueue"]["Properties"]["RedrivePolicy"]
    assert GLOBALS["Environment"]["Variables"]["WORK_TRIES"] == policy["maxReceiveCount"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_published_versions_start_from_a_snapshot_behind_the_alias(name: str) -> None:
    assert GLOBALS["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert GLOBALS["AutoPublishAlias"] == "live"
    # SnapStart knows neither provisioned concurrency nor a /tmp over 512 MB.
    assert not {"ProvisionedConcurrencyConfig", "EphemeralStorage"} & (
        FUNCTIONS[name].keys() | GLOBALS.keys()
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_change_of_any_parameter_of_a_function_publishes_a_version(name: str) -> None:
    function = FUNCTIONS[name]
    settings = {k: v for k, v in function.items() if k not in {"VersionDescription", "Events"}}
    used = _references([settings, GLOBALS]) & PARAMETERS.keys()
    used -= {"LogRetentionDays"}
    assert function["AutoPublishAliasAllProperties"] is True
    description = function["VersionDescription"]
    asked = {value[0] for key, value in _walk(description) if key == "Fn::If"}
    said = _references([description, *(TEMPLATE["Conditions"][name] for name in asked)])
    assert used <= said


def test_the_version_description_never_exceeds_lambdas_limit() -> None:
    description, names = FUNCTIONS["ApiFunction"]["VersionDescription"]["Fn::Sub"]
    secret = SECRET + "x" * (PARAMETERS["FirestoreSecretArn"]["MaxLength"] - len(SECRET))
    longest = {
        name: "x" * PARAMETERS[name]["MaxLength"]
        for name in ("CloudinaryFolder", "MaskPublicBaseUrl", "AllowedImageHosts")
    } | {
        "MemorySize": "10240",
        "WorkerTimeout": "900",
        "JobRetentionSeconds": str(PARAMETERS["JobRetentionSeconds"]["MaxValue"]),
        "FirestoreProject": "x" * 30,
        "FirestoreSecretArn": secret,
        "CloudinarySecretArn": secret,
    }
    # A rule keeps the parameters of one store from the other.
    of_one_store = [
        {**longest, "MaskStore": "s3", "CloudinarySecretArn": ""},
        {**longest, "MaskStore": "cloudinary", "MaskPublicBaseUrl": ""},
    ]
    for given in of_one_store:
        written = Deployment(**given).resolve({"Fn::Sub": [description, names]})
        assert len(written) <= LAMBDA_DESCRIPTION_LIMIT
    values = _references({"Fn::Sub": [description, names]})
    assert {name for name in values if "MaxLength" in PARAMETERS[name]} <= longest.keys()


@pytest.mark.parametrize("given", COMBINATIONS, ids=lambda given: " ".join(given.values()))
def test_what_may_be_deployed_can_start(given: dict[str, str]) -> None:
    deployment = Deployment(**given)
    assert deployment.refused() == []
    values = deployment.environment()
    if values["MASK_BUCKET"]:
        values["MASK_BUCKET"] = "the-name-that-the-bucket-gets"
    values |= MADE
    assert OF_THE_API == {"BATCH_MACHINE_ARN": {"Ref": "BatchMachine"}}
    settings = Settings.from_env(values, on_lambda=True)
    assert settings.mask_store == given["MaskStore"]
    assert settings.firestore_project == given.get("FirestoreProject")
    assert settings.mask_public_base_url == given.get("MaskPublicBaseUrl")


@pytest.mark.parametrize("hosts", ["", "photos.example.com", "*.s3.eu-west-1.amazonaws.com,b.app"])
def test_the_image_hosts_that_may_be_deployed_are_those_of_the_settings(hosts: str) -> None:
    deployment = Deployment(**GOOD, AllowedImageHosts=hosts)
    assert deployment.refused() == []
    settings = Settings.from_env(deployment.environment() | MADE, on_lambda=True)
    assert settings.allowed_image_hosts == tuple(filter(None, hosts.split(",")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "AuthMode has no value"),
        ({"AuthMode": "JWT", "MaskStore": "s3"}, "AuthMode JWT needs FirebaseProject."),
        ({"AuthMode": "NONE", "MaskStore": "s3"}, "AuthMode is not an allowed value"),
        (
            {"AuthMode": "IAM", "MaskStore": "cloudinary"},
            "MaskStore cloudinary needs CloudinarySecretArn.",
        ),
        (
            GOOD | {"MaskStore": "s3"},
            "CloudinarySecretArn is for MaskStore cloudinary.",
        ),
        (
            GOOD | {"MaskPublicBaseUrl": "https://masks.example.com"},
            "MaskPublicBaseUrl is for MaskStore s3.",
        ),
        (
            {"AuthMode": "IAM", "MaskStore": "s3", "MaskPublicBaseUrl": "http://example.com"},
            "MaskPublicBaseUrl does not match its pattern",
        ),
        (
            GOOD | {"AllowedImageHosts": "https://photos.example.com"},
            "AllowedImageHosts does not match its pattern",
        ),
        (
            GOOD | {"CloudinarySecretArn": "cloudinary://key:secret@cloud"},
            "CloudinarySecretArn does not match its pattern",
        ),
        (GOOD | {"FirestoreProject": "my-app"}, "FirestoreProject needs FirestoreSecretArn."),
        (
            GOOD | {"FirestoreSecretArn": SECRET + "firestore-a1B2c3"},
            "FirestoreSecretArn needs FirestoreProject.",
        ),
    ],
)
def test_a_missing_setting_stops_the_deployment(given: dict[str, str], said: str) -> None:
    assert said in Deployment(**given).refused()


def test_environment_names_are_settings() -> None:
    known = {name.upper() for name in Settings.__dataclass_fields__}
    known |= {name for info in model_sets().values() for name in info.options}
    given = Deployment(**GOOD).environment().keys() | OF_THE_API.keys()
    assert "Environment" not in FUNCTIONS["WorkerFunction"]
    assert given <= known
    assert not given & {"ALLOW_HTTP", "CLOUDINARY_URL"}


def test_sam_local_gets_every_variable_that_a_stack_would_name() -> None:
    declared = GLOBALS["Environment"]["Variables"] | OF_THE_API
    (given,) = json.loads((ROOT / "events" / "env.local.json").read_text()).values()

    # SAM drops the others, and makes names out of references to resources.
    assert given.keys() <= declared.keys()
    assert {
        name for name, value in declared.items() if _references([value]) & RESOURCES.keys()
    } <= (given.keys() | {"MASK_BUCKET"})
    settings = Settings.from_env({**given, "AWS_ENDPOINT_URL": ""}, on_lambda=True)
    assert settings.mask_store == "cloudinary"


def test_the_api_has_the_routes_that_the_code_answers() -> None:
    assert _routes().keys() == {f"{method} {path}" for path, method in METHODS.items()}


@pytest.mark.parametrize(
    ("mode", "authorization"),
    [("JWT", ("JWT", "FirebaseAuthorizer")), ("IAM", ("AWS_IAM", None))],
)
def test_no_route_is_open_but_health(mode: str, authorization: tuple[str, str | None]) -> None:
    deployment = Deployment(**(GOOD | {"AuthMode": mode}))
    for key, route in _routes().items():
        resolved = deployment.resolve(route)
        given = (resolved["AuthorizationType"], resolved.get("AuthorizerId"))
        assert given == (("NONE", None) if key == f"GET {HEALTH}" else authorization)


def test_only_tokens_of_the_firebase_project_are_taken() -> None:
    (authorizer,) = of_type("AWS::ApiGatewayV2::Authorizer").values()
    resolved = Deployment(**GOOD).resolve(authorizer)
    assert resolved["AuthorizerType"] == "JWT"
    assert resolved["JwtConfiguration"] == {
        "Issuer": "https://securetoken.google.com/my-app",
        "Audience": ["my-app"],
    }


def test_callers_reach_the_alias_and_nothing_else() -> None:
    (integration,) = of_type("AWS::ApiGatewayV2::Integration").values()
    uri = Deployment(**GOOD).resolve(integration["IntegrationUri"])
    assert uri.endswith("/functions/ApiFunction.Arn:live/invocations")
    (permission,) = of_type("AWS::Lambda::Permission").values()
    assert permission["FunctionName"] == {"Ref": "ApiFunction.Alias"}
    assert "Api" in _references(permission["SourceArn"])


def test_browsers_may_call_from_named_origins_only() -> None:
    (api,) = of_type("AWS::ApiGatewayV2::Api").values()
    cors = api["CorsConfiguration"]
    assert Deployment(**GOOD).resolve(cors) is None
    named = Deployment(**(GOOD | {"CorsOrigins": "https://app.example.com"})).resolve(cors)
    assert named["AllowOrigins"] == "https://app.example.com"
    assert {"prefer", "authorization"} <= set(named["AllowHeaders"])
    assert {"location", "retry-after"} <= set(named["ExposeHeaders"])


@pytest.mark.parametrize(
    ("bucket", "methods"),
    [("PhotoBucket", ["GET", "HEAD", "POST"]), ("MaskBucket", ["GET", "HEAD"])],
)
def test_browsers_may_read_and_upload_from_named_origins_only(
    bucket: str, methods: list[str]
) -> None:
    cors = BUCKETS[bucket]["CorsConfiguration"]
    assert Deployment(**GOOD).resolve(cors) is None
    named = Deployment(**(GOOD | {"CorsOrigins": "https://app.example.com"})).resolve(cors)
    (rule,) = named["CorsRules"]
    assert rule["AllowedOrigins"] == "https://app.example.com"
    assert rule["AllowedMethods"] == methods


def test_calls_are_throttled() -> None:
    (stage,) = of_type("AWS::ApiGatewayV2::Stage").values()
    assert {"ThrottlingRateLimit", "ThrottlingBurstLimit"} <= stage["DefaultRouteSettings"].keys()


ROLES = {"ApiFunction": "ApiRole", "WorkerFunction": "WorkerRole"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
REMEMBER = {f"dynamodb:{do}Item" for do in ("Get", "Put", "Update", "Delete")}
STATES = "arn:AWS::Partition:states:AWS::Region:AWS::AccountId"
FOLLOW = {"states:DescribeExecution", "states:ListMapRuns", "states:DescribeMapRun"}
TRACES = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def _allowed(deployment: Deployment, role: str) -> dict[str, set[str]]:
    """Resource -> actions."""
    allowed: dict[str, set[str]] = {}
    for statement in deployment.statements(role):
        assert statement["Effect"] == "Allow"
        assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
        action, resource = statement["Action"], statement["Resource"]
        for one in [resource] if isinstance(resource, str) else resource:
            allowed.setdefault(one, set()).update([action] if isinstance(action, str) else action)
    return allowed


def test_functions_run_under_the_roles_written_here() -> None:
    for function, role in ROLES.items():
        assert FUNCTIONS[function]["Role"] == {"Fn::GetAtt": [role, "Arn"]}
        # SAM would add managed policies for these, which allow more.
        assert not {"Policies", "VpcConfig", "DeadLetterQueue"} & FUNCTIONS[function].keys()
        assert "ManagedPolicyArns" not in RESOURCES[role]["Properties"]
        (trust,) = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}


def test_the_api_may_do_just_this() -> None:
    always = {
        "ApiFunctionLogs.Arn": LOGS,
        "*": TRACES,
        "OnceTable.Arn": REMEMBER,
        "JobsTable.Arn": {"dynamodb:PutItem", "dynamodb:GetItem", "dynamodb:BatchGetItem"},
        "BatchMachine": {"states:StartExecution"},
        f"{STATES}:execution:BatchMachine.Name:*": FOLLOW,
        f"{STATES}:mapRun:BatchMachine.Name/*": FOLLOW,
        "WorkQueue.Arn": {"sqs:SendMessage"},
        "PhotoBucket.Arn/uploads/*": {"s3:PutObject"},
        "PhotoBucket.Arn/batches/*": {"s3:PutObject"},
        "PhotoBucket.Arn/results/batches/*": {"s3:GetObject"},
    }
    everything = GOOD | {
        "FirestoreProject": "my-app",
        "FirestoreSecretArn": SECRET + "firestore-a1B2c3",
    }
    assert _allowed(Deployment(**everything), "ApiRole") == always | {
        SECRET + "cloudinary-a1B2c3": {"secretsmanager:GetSecretValue"},
        SECRET + "firestore-a1B2c3": {"secretsmanager:GetSecretValue"},
    }
    assert _allowed(Deployment(AuthMode="IAM", MaskStore="s3"), "ApiRole") == always | {
        "MaskBucket.Arn/masks/*": {"s3:PutObject", "s3:GetObject"},
    }


def test_the_worker_may_do_just_this() -> None:
    always = {
        "WorkerFunctionLogs.Arn": LOGS,
        "*": TRACES,
        "OnceTable.Arn": REMEMBER,
        "JobsTable.Arn": {
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        },
        "WorkQueue.Arn": {
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueAttributes",
            "sqs:SendMessage",
        },
        "CallbackSecret": {"secretsmanager:GetSecretValue"},
        "PhotoBucket.Arn": {"s3:ListBucket"},
        "PhotoBucket.Arn/uploads/*": {"s3:GetObject"},
        "PhotoBucket.Arn/batches/*": {"s3:GetObject"},
        "PhotoBucket.Arn/results/*": {"s3:PutObject"},
    }
    assert _allowed(Deployment(**GOOD), "WorkerRole") == always | {
        SECRET + "cloudinary-a1B2c3": {"secretsmanager:GetSecretValue"},
    }
    assert _allowed(Deployment(AuthMode="IAM", MaskStore="s3"), "WorkerRole") == always | {
        "MaskBucket.Arn/masks/*": {"s3:PutObject", "s3:GetObject"},
    }


def test_the_prefixes_in_the_roles_are_those_that_the_code_uses() -> None:
    store = {"mask_store": "s3", "mask_bucket": "the-bucket"}
    assert f"PhotoBucket.Arn/{RESULTS}*" in _allowed(Deployment(**GOOD), "WorkerRole")
    in_s3 = Deployment(AuthMode="IAM", MaskStore="s3").environment()
    prefix = Settings.from_env(in_s3 | MADE, on_lambda=True, **store).mask_prefix
    assert f"MaskBucket.Arn/{prefix}/*" in _allowed(
        Deployment(AuthMode="IAM", MaskStore="s3"), "ApiRole"
    )


def test_the_queue_wakes_the_worker_and_nothing_else_does() -> None:
    events = [event for f in FUNCTIONS.values() for event in f.get("Events", {}).values()]
    (event,) = events
    assert event in FUNCTIONS["WorkerFunction"]["Events"].values()
    assert event["Type"] == "SQS"
    assert event["Properties"]["Queue"] == {"Fn::GetAtt": ["WorkQueue", "Arn"]}
    assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    most = event["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    assert most == {"Ref": "WorkerConcurrency"}
    assert PARAMETERS["WorkerConcurrency"]["MinValue"] >= 2


def test_an_upload_is_queued_and_what_the_worker_writes_is_not() -> None:
    notification = BUCKETS["PhotoBucket"]["NotificationConfiguration"]
    assert notification.keys() == {"QueueConfigurations"}
    (to_queue,) = notification["QueueConfigurations"]
    assert to_queue["Queue"] == {"Fn::GetAtt": ["WorkQueue", "Arn"]}
    (rule,) = to_queue["Filter"]["S3Key"]["Rules"]
    assert rule == {"Name": "prefix", "Value": UPLOADS}
    written = [
        resource
        for resource, actions in _allowed(Deployment(**GOOD), "WorkerRole").items()
        if "s3:PutObject" in actions
    ]
    assert written
    assert not any(f"/{UPLOADS}" in resource for resource in written)


def test_only_s3_of_this_account_and_the_api_fill_the_queue() -> None:
    assert RESOURCES["PhotoBucket"]["DependsOn"] == "UploadsMayBeQueued"
    (policy,) = of_type("AWS::SQS::QueuePolicy").values()
    assert policy["Queues"] == [{"Ref": "WorkQueue"}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    own = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    assert statement["Condition"] == own


def definition(**given: str) -> dict[str, Any]:
    """The state machine, as Step Functions reads it."""
    machine = RESOURCES["BatchMachine"]["Properties"]
    deployment = Deployment(**(GOOD | given))
    deployment.values["AWS::Partition"] = "aws"
    text = deployment.resolve(machine["DefinitionString"])
    read: dict[str, Any] = json.loads(text)
    return read


def test_a_list_is_read_from_s3_a_line_at_a_time_and_bounded() -> None:
    (state,) = definition(BatchConcurrency="7", BatchFailurePercentage="3")["States"].values()
    assert (state["Type"], state["MaxConcurrency"], state["ToleratedFailurePercentage"]) == (
        "Map",
        7,
        3,
    )
    assert state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    reader, writer = state["ItemReader"], state["ResultWriter"]
    assert reader["ReaderConfig"] == {"InputType": "JSONL"}
    assert reader["Parameters"] == {"Bucket": "PhotoBucket", "Key.$": "$.manifest"}
    assert writer["WriterConfig"] == {"Transformation": "COMPACT", "OutputType": "JSONL"}
    prefix = f"States.Format('results/{BATCHES}{{}}', $.batch_id)"
    assert writer["Parameters"] == {"Bucket": "PhotoBucket", "Prefix.$": prefix}


def test_a_line_goes_to_the_workers_alias_and_is_tried_again() -> None:
    (state,) = definition()["States"].values()
    (task,) = state["ItemProcessor"]["States"].values()
    assert task["Resource"].endswith(":states:::lambda:invoke")
    assert task["Parameters"] == {"FunctionName": "WorkerFunction.Alias", "Payload.$": "$"}
    assert [retry["ErrorEquals"] for retry in task["Retry"]] == [
        ["Lambda.TooManyRequestsException"],
        ["States.ALL"],
    ]
    tries = 1 + task["Retry"][-1]["MaxAttempts"]
    assert tries == RESOURCES["WorkQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]


def test_the_state_machine_is_one_by_the_rules_of_its_language() -> None:
    """The linter looks only into definitions without parameters, so it is given one here."""
    machine = definition()
    assert _lint(machine) == []
    machine["States"]["EveryLine"]["MaxConcurrency"] = "ten"
    assert len(_lint(machine)) == 1
    for level in (machine, machine["States"]["EveryLine"]["ItemProcessor"]):
        assert level["StartAt"] in level["States"]


def _lint(machine: dict[str, Any]) -> list[Any]:
    role = "arn:aws:iam::123456789012:role/batch"
    properties = {"DefinitionString": json.dumps(machine), "RoleArn": role}
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found: list[Any] = lint(json.dumps({"Resources": {"Machine": resource}}), None, ["us-east-1"])
    return found


def test_the_state_machine_may_do_just_this() -> None:
    role = RESOURCES["BatchRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "states.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert RESOURCES["BatchMachine"]["Properties"]["RoleArn"] == {
        "Fn::GetAtt": ["BatchRole", "Arn"]
    }
    assert _allowed(Deployment(**GOOD), "BatchRole") == {
        "WorkerFunction.Alias": {"lambda:InvokeFunction"},
        f"PhotoBucket.Arn/{MANIFESTS}*": {"s3:GetObject"},
        f"PhotoBucket.Arn/results/{BATCHES}*": {
            "s3:PutObject",
            "s3:GetObject",
            "s3:AbortMultipartUpload",
            "s3:ListMultipartUploadParts",
        },
        "BatchMachine": {"states:StartExecution"},
        f"{STATES}:execution:BatchMachine.Name*": {
            "states:DescribeExecution",
            "states:StopExecution",
            "states:RedriveExecution",
        },
    }


def test_what_is_given_up_is_kept_and_reported() -> None:
    redrive = RESOURCES["WorkQueue"]["Properties"]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["FailedWork", "Arn"]}
    kept = RESOURCES["FailedWork"]["Properties"]["MessageRetentionPeriod"]
    assert kept > RESOURCES["WorkQueue"]["Properties"]["MessageRetentionPeriod"]
    watched = {
        (alarm["MetricName"], *_references(alarm["Dimensions"]))
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
    }
    assert ("ApproximateNumberOfMessagesVisible", "FailedWork") in watched
    assert ("ApproximateAgeOfOldestMessage", "WorkQueue") in watched


@pytest.mark.parametrize("name", of_type("AWS::SQS::Queue"))
def test_queues_are_encrypted(name: str) -> None:
    assert RESOURCES[name]["Properties"]["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize("name", of_type("AWS::DynamoDB::Table"))
def test_tables_cost_nothing_unused_and_forget(name: str) -> None:
    table = RESOURCES[name]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_private_encrypted_and_forget(name: str) -> None:
    bucket = BUCKETS[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert RESOURCES[name]["DeletionPolicy"] == "Retain"
    forgotten = {
        rule["Prefix"]
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if rule["Status"] == "Enabled" and rule["ExpirationInDays"]["Ref"] in PARAMETERS
    }
    kept = {
        "PhotoBucket": {UPLOADS, BATCHES, MANIFESTS, "results/"},
        "MaskBucket": {"masks/"},
    }
    assert forgotten == kept[name]


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_take_no_plain_http(name: str) -> None:
    (policy,) = (
        policy
        for policy in of_type("AWS::S3::BucketPolicy").values()
        if policy["Bucket"] == {"Ref": name}
    )
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
    assert Deployment(**GOOD).resolve(statement["Resource"]) == [f"{name}.Arn", f"{name}.Arn/*"]


def test_masks_have_a_bucket_where_they_are_kept_in_s3_only() -> None:
    assert RESOURCES["MaskBucket"]["Condition"] == "UsesS3"
    assert Deployment(AuthMode="IAM", MaskStore="s3").environment()["MASK_BUCKET"] == "MaskBucket"
    assert Deployment(**GOOD).environment()["MASK_BUCKET"] == ""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_log_json_to_a_group_of_their_own_that_forgets(name: str) -> None:
    logging: Mapping[str, Any] = FUNCTIONS[name]["LoggingConfig"]
    assert logging["LogFormat"] == "JSON"
    assert logging["LogGroup"] == {"Ref": f"{name}Logs"}
    assert GLOBALS["Tracing"] == "Active"


@pytest.mark.parametrize("name", of_type("AWS::Logs::LogGroup"))
def test_logs_are_kept_for_the_days_chosen(name: str) -> None:
    assert RESOURCES[name]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_alarms_watch_the_alias_and_reach_the_topic() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    watched = set()
    for alarm in alarms.values():
        values = {d["Name"]: Deployment(**GOOD).resolve(d["Value"]) for d in alarm["Dimensions"]}
        if "FunctionName" in values:
            assert values["Resource"] == f"{values['FunctionName']}:live"
        watched.add((alarm["MetricName"], *values.values()))
        assert Deployment(**GOOD).resolve(alarm["AlarmActions"]) is None
        topic = "arn:aws:sns:eu-west-1:123456789012:alarms"
        told = Deployment(**(GOOD | {"AlarmTopicArn": topic})).resolve(alarm["AlarmActions"])
        assert told == [topic]
    for function in FUNCTIONS:
        assert ("Errors", function, f"{function}:live") in watched
        assert ("Throttles", function, f"{function}:live") in watched
    assert ("Duration", "ApiFunction", "ApiFunction:live") in watched
    assert ("5xx", "Api") in watched
    assert ("Duration", "WorkerFunction", "WorkerFunction:live") in watched
    assert ("ExecutionsFailed", "BatchMachine") in watched
    assert ("StepLogFailed", "tryon-masks") in watched


def test_the_failing_log_is_watched_where_there_is_one() -> None:
    assert RESOURCES["StepLogAlarm"]["Condition"] == "UsesFirestore"


@pytest.mark.parametrize("timeout", PARAMETERS["WorkerTimeout"]["AllowedValues"])
def test_a_slow_worker_is_told_of_before_it_is_cut(timeout: int) -> None:
    deployment = Deployment(**GOOD, WorkerTimeout=str(timeout))
    alarm = deployment.resolve(RESOURCES["WorkerDurationAlarm"]["Properties"])
    assert 0.5 < alarm["Threshold"] / 1000 / timeout < 1


def _dashboard() -> list[dict[str, Any]]:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(Deployment(**GOOD).resolve(dashboard["DashboardBody"]))
    return [widget["properties"] for widget in body["widgets"]]


def test_the_dashboard_shows_what_there_is_to_know() -> None:
    shown = {
        (metric[0], metric[1])
        for widget in _dashboard()
        for metric in widget["metrics"]
        if isinstance(metric[0], str)
    }
    assert {
        ("AWS/ApiGateway", "Count"),
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("TryonMasks", "ColdStart"),
        ("TryonMasks", "generate_masks"),
    } <= shown
    sources = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    for namespace, name in shown:
        if namespace == NAMESPACE:
            assert f'step("{name}"' in sources or f'count("{name}"' in sources
    stats = {widget["stat"] for widget in _dashboard() if "Stages" in widget["title"]}
    assert stats == {"p50", "p95"}
    texts = json.dumps(_dashboard())
    assert 'MetricName=\\"MasksRefused\\"' in texts
    assert "Worker" in texts
    assert "${" not in texts


def test_the_dashboards_price_is_that_of_the_benchmarks() -> None:
    ((expression,),) = (
        [metric[0]["expression"] for metric in widget["metrics"] if isinstance(metric[0], dict)]
        for widget in _dashboard()
        if "price" in widget["title"]
    )
    numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", expression)]
    assert {PRICE_PER_GB_SECOND, PRICE_PER_REQUEST} <= set(numbers)
    assert float(PARAMETERS["MemorySize"]["Default"]) in numbers


def test_the_dashboards_places_do_not_overlap() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(Deployment(**GOOD).resolve(dashboard["DashboardBody"]))["widgets"]
    assert len({(widget["x"], widget["y"]) for widget in widgets}) == len(widgets)
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)
