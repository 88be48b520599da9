"""A list of photos, worked off by a deployed stack: submitted, followed, its answers fetched."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tryon_masks.adapters.aws import aws_client
from tryon_masks.adapters.runs import StepFunctionsRuns
from tryon_masks.adapters.s3 import S3BatchFiles, s3_client
from tryon_masks.adapters.stack import stack_outputs
from tryon_masks.domain.errors import InvalidRequest, SettingsError, StateUnavailable
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.entrypoints.commands.options import UsageError
from tryon_masks.entrypoints.commands.photo_list import Item, Results, read_list
from tryon_masks.entrypoints.commands.progress import ProgressBar
from tryon_masks.ports import BatchRuns, Run
from tryon_masks.settings import MANIFESTS, RESULTS
from tryon_masks.telemetry import request_log, step

FROM_HERE = f"{MANIFESTS}command-line/"
TIMEOUT_S = 60.0
"""Seconds that one call to AWS has; a list may be large."""
POLL_S = 2.0
GIVEN_UP = "GIVEN_UP"
"""The code of an item that the stack could not work on, however often."""

RemoteItem = tuple[Item, dict[str, Any]]
"""An item of a list, and its line with the item's id."""


def batch_remote(manifest: Path, results: Results, name: str) -> int:
    """Have the stack ``name`` make a list's masks, and return the command's exit code.

    Raises
    ------
    SettingsError
    UsageError
    """
    try:
        listed = read_remote_list(manifest)
        results.answers()
    except (InvalidRequest, OSError, UnicodeDecodeError) as error:
        raise UsageError(str(error)) from error
    with request_log(uuid4().hex, ANONYMOUS):
        with step("find_stack", "cli", stack=name):
            stack = RemoteStack.find(name)
        try:
            answers = _answers_of(stack, listed)
        except StateUnavailable as error:
            print(f"AWS cannot be reached: {error.detail}", file=sys.stderr)
            return 1
        if answers is None:
            print(
                "The run has failed: its execution in Step Functions says why. It can be redriven.",
                file=sys.stderr,
            )
            return 1
        done = [item for item, _ in listed if item.item_id in answers]
        with step("write_results", "cli", items=len(done)):
            results.replace((item, answers[item.item_id]) for item in done)
    found = (answers.get(item.item_id, {}).get("status", "not done") for item, _ in listed)
    counts = Counter(found)
    print(json.dumps({"items": len(listed), **counts}))
    return 0 if counts["success"] == len(listed) else 1


def _answers_of(stack: RemoteStack, listed: Sequence[RemoteItem]) -> dict[str, Any] | None:
    """Have the list worked off; the answers by their items' ids. None: the run has failed."""
    with step("submit_list", "cli", items=len(listed)):
        batch_id = stack.submit([line for _, line in listed])
    print(f"batch {batch_id}: stopping this command does not stop it", file=sys.stderr)
    with step("follow_run", "cli", batch_id=batch_id), ProgressBar(len(listed)) as bar:
        run = stack.follow(batch_id, lambda run: bar.set(run.total - run.queued - run.running))
    if run.results is None:
        return None
    with step("fetch_answers", "cli", batch_id=batch_id):
        return {answer["id"]: answer for answer in stack.answers(run.results)}


def read_remote_list(path: Path) -> list[RemoteItem]:
    """Read every item of the list ``path``, and its line with the item's id.

    Raises
    ------
    InvalidRequest
        With the problems of every line. A photo that lies here is one.
    OSError
    """
    items = read_list(path)
    if local := [item.item_id for item in items if isinstance(item.photo, Path)]:
        shown = ", ".join(local[:3])
        raise InvalidRequest(f"a stack cannot see files of this machine, as of {shown}")
    texts = [text for text in path.read_text("utf-8-sig").splitlines() if text.strip()]
    lines = [
        {**json.loads(text), "id": item.item_id} for item, text in zip(items, texts, strict=True)
    ]
    return list(zip(items, lines, strict=True))


@dataclass(frozen=True)
class RemoteStack:
    """What is needed of a deployed stack."""

    files: S3BatchFiles
    runs: BatchRuns

    @classmethod
    def find(cls, name: str) -> RemoteStack:
        """Find the stack of this name in the ambient account and region.

        Raises
        ------
        SettingsError
        """
        outputs = stack_outputs(name, aws_client("cloudformation", TIMEOUT_S))
        try:
            bucket, machine = outputs["PhotoBucketName"], outputs["BatchMachineArn"]
        except KeyError as missing:
            raise SettingsError(f"The stack {name} has no output {missing}.") from missing
        return cls(
            S3BatchFiles(bucket, s3_client(TIMEOUT_S), RESULTS, 1),
            StepFunctionsRuns(machine, aws_client("stepfunctions", TIMEOUT_S)),
        )

    def submit(self, lines: Sequence[dict[str, Any]]) -> str:
        """Begin with a list, or go on with it: the same list is the same batch. Its number.

        Raises
        ------
        StateUnavailable
        """
        text = "\n".join(json.dumps(line, sort_keys=True) for line in lines)
        batch_id = hashlib.sha256(text.encode()).hexdigest()[:32]
        key = f"{FROM_HERE}{batch_id}.jsonl"
        self.files.put_list(key, lines)
        self.runs.start(batch_id, key, None)
        return batch_id

    def follow(self, batch_id: str, tell: Callable[[Run], None]) -> Run:
        """Wait for the end, saying again and again how far it is.

        Raises
        ------
        StateUnavailable
        """
        while True:
            run = self.runs.get(batch_id)
            tell(run)
            if run.state != "running":
                return run
            time.sleep(POLL_S)

    def answers(self, results: str) -> Iterator[dict[str, Any]]:
        """Yield every answer of a run's ``results``, each with its item's ``id``.

        Raises
        ------
        StateUnavailable
        """
        for key in self.files.parts(results):
            text = self.files.read(key)
            # Whichever way Step Functions writes what failed.
            given = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
            yield from map(_answer, given)


def _answer(line: dict[str, Any]) -> dict[str, Any]:
    """An answer as it is; of an item that was given up, what Step Functions says of it."""
    if "Input" not in line:
        return line
    item = json.loads(line["Input"])["item"]
    message = f"It was given up: {line.get('Error', line.get('Status', 'no cause is known'))}."
    return {
        "id": item["id"],
        "status": "error",
        "error": {"code": GIVEN_UP, "message": message},
    }
