"""``tryon-masks batch --remote``: AWS is moto's; how far the run is, tests say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tryon_masks import telemetry
from tryon_masks.adapters.runs import StepFunctionsRuns
from tryon_masks.entrypoints import cli
from tryon_masks.entrypoints.commands import remote
from tryon_masks.ports import Run

BUCKET = "the-photo-bucket"
ROLE = "arn:aws:iam::123456789012:role/batch"
TEMPLATE = {
    "Resources": {
        "PhotoBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}},
        "BatchMachine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {"DefinitionString": "{}", "RoleArn": ROLE},
        },
    },
    "Outputs": {
        "PhotoBucketName": {"Value": {"Ref": "PhotoBucket"}},
        "BatchMachineArn": {"Value": {"Ref": "BatchMachine"}},
    },
}
LINES: list[dict[str, Any]] = [
    {"photo": "https://example.com/a.jpg", "masks": ["upper"]},
    {"photo": "https://example.com/b.jpg", "id": "second"},
    {"photo": "https://example.com/c.jpg"},
]


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(remote, "POLL_S", 0.0)
    with mock_aws():
        boto3.client("cloudformation").create_stack(
            StackName="masks", TemplateBody=json.dumps(TEMPLATE)
        )
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n\n")
    return path


def tell(monkeypatch: pytest.MonkeyPatch, *runs: Run) -> None:
    """What Step Functions says of the run, one look after the other."""
    left = iter(runs)
    monkeypatch.setattr(StepFunctionsRuns, "get", lambda *_: next(left))


def executions() -> list[dict[str, Any]]:
    states = boto3.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    found = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    return [states.describe_execution(executionArn=one["executionArn"]) for one in found]


def put_results(**files: str) -> str:
    s3 = boto3.client("s3")
    for name, text in files.items():
        s3.put_object(Bucket=BUCKET, Key=f"results/{name}", Body=text.encode())
    listed = {name: [{"Key": f"results/{name}"}] for name in files}
    s3.put_object(
        Bucket=BUCKET, Key="results/manifest.json", Body=json.dumps({"ResultFiles": listed})
    )
    return "results/manifest.json"


def run(path: Path, *more: str) -> int:
    return cli.main(["batch", str(path), "--remote", "masks", *more], environ={})


def test_a_list_is_submitted_followed_and_its_answers_fetched(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given_up = {
        "Status": "FAILED",
        "Error": "StoreFailed",
        "Input": json.dumps({"item": {"id": "c"}}),
    }
    made = [{"id": "second", "status": "refused"}, {"id": "a", "status": "success", "masks": {}}]
    key = put_results(
        SUCCEEDED="".join(json.dumps(line) + "\n" for line in made), FAILED=json.dumps([given_up])
    )
    tell(
        monkeypatch,
        Run("running", 0, 0, 0, 0, None),
        Run("running", 3, 1, 1, 0, None),
        Run("done", 3, 0, 0, 1, key),
    )

    assert run(path) == 1

    (execution,) = executions()
    given = json.loads(execution["input"])
    assert given["user_id"] is None
    assert given["manifest"] == f"manifests/command-line/{given['batch_id']}.jsonl"
    sent = boto3.client("s3").get_object(Bucket=BUCKET, Key=given["manifest"])["Body"].read()
    lines = [json.loads(line) for line in sent.splitlines()]
    assert lines == [{**LINES[0], "id": "a"}, LINES[1], {**LINES[2], "id": "c"}]
    counts = {"items": 3, "success": 1, "refused": 1, "error": 1}
    assert json.loads(capsys.readouterr().out) == counts
    written = (path.parent / "list.results.jsonl").read_text()
    results = [json.loads(line) for line in written.splitlines()]
    assert [(line["id"], line["status"]) for line in results] == [
        ("a", "success"),
        ("second", "refused"),
        ("c", "error"),
    ]
    assert results[2]["error"]["code"] == remote.GIVEN_UP
    assert "StoreFailed" in results[2]["error"]["message"]


def test_each_step_is_logged(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = put_results(SUCCEEDED='{"id": "a", "status": "success"}\n')
    tell(monkeypatch, Run("done", 3, 0, 0, 0, key))

    try:
        run(path, "--verbose")
    finally:
        # The log must not keep a stream that ends with the test.
        telemetry.configure(sys.__stderr__)
        telemetry.configure(None)

    lines = capsys.readouterr().err.splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert [one["step"] for one in records if one["status"] == "done"] == [
        "find_stack",
        "submit_list",
        "follow_run",
        "fetch_answers",
        "write_results",
    ]
    assert len({one["request_id"] for one in records}) == 1


def test_the_same_list_again_follows_the_same_run(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [{"id": name, "status": "success"} for name in ("a", "second", "c")]
    key = put_results(SUCCEEDED="".join(json.dumps(line) + "\n" for line in lines))
    tell(monkeypatch, *[Run("done", 3, 0, 0, 0, key)] * 2)

    assert [run(path), run(path)] == [0, 0]

    assert len(executions()) == 1


def test_a_run_that_failed_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(monkeypatch, Run("failed", 0, 0, 0, 0, None))

    assert run(path) == 1
    assert "redriven" in capsys.readouterr().err
    assert not (path.parent / "list.results.jsonl").exists()


@pytest.mark.parametrize("more", [["--jobs", "2"], ["--out", "masks"], ["--store", "s3"]])
def test_what_the_stack_decides_is_not_taken(path: Path, more: list[str]) -> None:
    assert run(path, *more) == 2
    assert executions() == []


def test_a_photo_of_this_machine_cannot_be_seen_there(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path.parent / "here.jpg").touch()
    path.write_text('{"photo": "here.jpg"}')

    assert run(path) == 2
    assert "here" in capsys.readouterr().err
    assert executions() == []


def test_a_stack_that_is_not_there_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["batch", str(path), "--remote", "other"], environ={}) == 2
    assert "other" in capsys.readouterr().err


def test_another_stack_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    boto3.client("cloudformation").create_stack(StackName="bare", TemplateBody=json.dumps(bare))

    assert cli.main(["batch", str(path), "--remote", "bare"], environ={}) == 2
    assert "PhotoBucketName" in capsys.readouterr().err


def test_aws_that_cannot_be_reached_is_said(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s3 = boto3.client("s3")
    s3.delete_bucket(Bucket=BUCKET)

    assert run(path) == 1
    assert "cannot be reached" in capsys.readouterr().err
