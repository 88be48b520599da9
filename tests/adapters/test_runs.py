from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.runs import StepFunctionsRuns
from tryon_masks.domain.errors import StateUnavailable
from tryon_masks.ports import Run

pytestmark = pytest.mark.usefixtures("aws")

ACCOUNT = "arn:aws:states:eu-central-1:123456789012"
MACHINE = f"{ACCOUNT}:stateMachine:lists"
EXECUTION = f"{ACCOUNT}:execution:lists:batch-1"
MAP_RUN = f"{ACCOUNT}:mapRun:lists/lines:0b2c"
ITEMS = {
    "pending": 5,
    "running": 2,
    "succeeded": 90,
    "failed": 1,
    "timedOut": 1,
    "aborted": 1,
    "total": 100,
    "resultsWritten": 0,
}


def test_a_list_is_started_once_under_its_batchs_number() -> None:
    states = boto3.client("stepfunctions")
    machine = states.create_state_machine(
        name="lists",
        definition='{"StartAt": "a", "States": {}}',
        roleArn="arn:aws:iam::123456789012:role/x",
    )["stateMachineArn"]
    runs = StepFunctionsRuns(machine, aws_client("stepfunctions", 2.0))

    runs.start("batch-1", "manifests/user-1/list.jsonl", None)

    started = states.describe_execution(executionArn=EXECUTION)
    assert json.loads(started["input"]) == {
        "batch_id": "batch-1",
        "manifest": "manifests/user-1/list.jsonl",
        "user_id": None,
    }


def look(status: str, *, map_run: bool = True, output: object = None) -> Run:
    """What is said of an execution, as Step Functions describes it."""
    client = boto3.client("stepfunctions")
    described: dict[str, Any] = {
        "executionArn": EXECUTION,
        "stateMachineArn": MACHINE,
        "status": status,
        "startDate": 0,
    }
    if output is not None:
        described["output"] = json.dumps(output)
    run = {
        "executionArn": EXECUTION,
        "mapRunArn": MAP_RUN,
        "stateMachineArn": MACHINE,
        "startDate": 0,
    }
    more = {"maxConcurrency": 10, "toleratedFailurePercentage": 5.0, "toleratedFailureCount": 0}
    with Stubber(client) as stub:
        stub.add_response("describe_execution", described, {"executionArn": EXECUTION})
        listed = {"mapRuns": [run] if map_run else []}
        stub.add_response("list_map_runs", listed, {"executionArn": EXECUTION})
        if map_run:
            described = {
                "mapRunArn": MAP_RUN,
                "executionArn": EXECUTION,
                "status": "RUNNING",
                "startDate": 0,
                **more,
                "itemCounts": ITEMS,
                "executionCounts": ITEMS,
            }
            stub.add_response("describe_map_run", described, {"mapRunArn": MAP_RUN})
        return StepFunctionsRuns(MACHINE, client).get("batch-1")


def test_a_run_is_looked_at_while_it_goes() -> None:
    assert look("RUNNING") == Run("running", 100, 5, 2, 3, None)


def test_a_run_whose_list_is_not_read_yet_has_no_items() -> None:
    assert look("RUNNING", map_run=False) == Run("running", 0, 0, 0, 0, None)


def test_a_run_that_is_done_says_where_its_answers_are() -> None:
    details = {"Bucket": "photos", "Key": "results/batches/batch-1/0b2c/manifest.json"}

    run = look("SUCCEEDED", output={"MapRunArn": MAP_RUN, "ResultWriterDetails": details})

    assert (run.state, run.results) == ("done", details["Key"])


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED"])
def test_a_run_that_ended_otherwise_has_failed(status: str) -> None:
    run = look(status, map_run=False)

    assert (run.state, run.results) == ("failed", None)


def test_what_cannot_be_reached_is_said() -> None:
    runs = StepFunctionsRuns(MACHINE, aws_client("stepfunctions", 2.0))

    with pytest.raises(StateUnavailable):
        runs.start("batch-1", "manifests/user-1/list.jsonl", None)
    with pytest.raises(StateUnavailable):
        runs.get("batch-1")
