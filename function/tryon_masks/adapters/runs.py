"""Lists of any length, worked off by a state machine of Step Functions: a Distributed Map."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Literal

from tryon_masks.adapters.aws import translate_state_errors
from tryon_masks.ports import Run

_STATES: dict[str, Literal["running", "done", "failed"]] = {
    "RUNNING": "running",
    "PENDING_REDRIVE": "running",
    "SUCCEEDED": "done",
}
_COUNTS = ("total", "pending", "running", "failed", "timedOut", "aborted")


class StepFunctionsRuns:
    """A :class:`~tryon_masks.ports.BatchRuns`; a batch's run is the execution of its number.

    Parameters
    ----------
    machine_arn
        The state machine's.
    client
        From :func:`~tryon_masks.adapters.aws.aws_client`.
    """

    def __init__(self, machine_arn: str, client: Any) -> None:
        self._machine_arn = machine_arn
        self._client = client

    def start(self, batch_id: str, manifest: str, user_id: str | None) -> None:
        """Begin with the list under the key ``manifest``; a batch is begun once."""
        given = {"batch_id": batch_id, "manifest": manifest, "user_id": user_id}
        with translate_state_errors(), suppress(self._client.exceptions.ExecutionAlreadyExists):
            self._client.start_execution(
                stateMachineArn=self._machine_arn, name=batch_id, input=json.dumps(given)
            )

    def get(self, batch_id: str) -> Run:
        """Return how far the run is."""
        arn = f"{self._machine_arn.replace(':stateMachine:', ':execution:')}:{batch_id}"
        with translate_state_errors():
            execution = self._client.describe_execution(executionArn=arn)
            # None yet, or none at all where the list cannot be read.
            runs = self._client.list_map_runs(executionArn=arn)["mapRuns"]
            counts = dict.fromkeys(_COUNTS, 0)
            if runs:
                (run,) = runs
                counts = self._client.describe_map_run(mapRunArn=run["mapRunArn"])["itemCounts"]
        state = _STATES.get(execution["status"], "failed")
        output = json.loads(execution["output"]) if state == "done" else {}
        return Run(
            state=state,
            total=counts["total"],
            queued=counts["pending"],
            running=counts["running"],
            given_up=counts["failed"] + counts["timedOut"] + counts["aborted"],
            results=output.get("ResultWriterDetails", {}).get("Key"),
        )
