"""Calling a function, and reading what it said."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from PIL import Image
from tests.contract.event_files import read_event
from tests.standins.cloudinary import CloudinaryStandIn

INVOCATIONS = "/2015-03-31/functions/function/invocations"
TIMEOUT_S = 240
"""The emulator counts the start as part of the first call, and a busy machine takes its time."""
START_S = 60
PATH = "/photos/standing.jpg"
INSIDE = (
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://169.254.170.2/v2/credentials",
    "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
    "http://127.0.0.1/2018-06-01/runtime/invocation/next",
    "http://localhost/",
    "http://[::1]/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "https://127.0.0.1/",
    "file:///proc/self/environ",
    "file:///var/task/tryon_masks/settings.py",
    "/proc/self/environ",
    "data:text/plain,environ",
)
"""What lies around and inside a running function: nobody may have it fetched."""


def event_for(name: str, host: str) -> dict[str, Any]:
    """The committed event ``name``, asking for the photo at ``host`` instead."""
    event = read_event(name)
    body = event["body"].replace("https://example.com", f"http://{host}")
    assert f"http://{host}{PATH}" in body
    return {**event, "body": body}


@dataclass(frozen=True)
class Call:
    """One invocation: API Gateway's answer and how long it took, in seconds."""

    answer: dict[str, Any]
    seconds: float

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON body."""
        body: dict[str, Any] = json.loads(self.answer["body"])
        return body


def call(port: int, event: Mapping[str, Any]) -> Call:
    """Invoke the function behind the emulator on ``port``, which may still be starting."""
    deadline = time.monotonic() + START_S
    while True:
        start = time.perf_counter()
        try:
            answer = requests.post(
                f"http://127.0.0.1:{port}{INVOCATIONS}", json=event, timeout=TIMEOUT_S
            )
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        return Call(answer.json(), time.perf_counter() - start)


def check_inside(port: int, *more: str) -> list[str]:
    """Ask for everything that is inside, and for ``more``; all of it is refused. What was asked."""
    asked = [*INSIDE, *more]
    event = read_event("api-masks")
    for address in asked:
        answer = call(port, {**event, "body": json.dumps({"user_image_url": address})})
        error = answer.body["error"]
        assert (address, answer.answer["statusCode"], error["code"]) == (
            address,
            400,
            "URL_NOT_ALLOWED",
        )
        assert "AWS_" not in json.dumps(answer.body)
    return asked


def records(output: str) -> list[dict[str, Any]]:
    """The log records among a function's output."""
    lines = [line[line.find("{") :] for line in output.splitlines() if '"step"' in line]
    return [json.loads(line) for line in lines]


def seconds_of(step: str, log: list[dict[str, Any]]) -> list[float]:
    """How long each finished ``step`` took."""
    return [r["duration"] for r in log if (r["step"], r["status"]) == (step, "done")]


def check_masks(cloudinary: CloudinaryStandIn, masks: Mapping[str, str], photo: bytes) -> None:
    """The store has real masks of ``photo``: on its grid, black and white, one above the other."""
    size = Image.open(io.BytesIO(photo)).size
    heights = {}
    for name in ("upper", "lower"):
        (upload,) = (one for one in cloudinary.uploads.values() if one.public_id in masks[name])
        assert upload.public_id.endswith(f"/{name}")
        mask = Image.open(io.BytesIO(upload.data))
        assert (mask.mode, mask.size) == ("L", size)
        pixels = np.asarray(mask)
        assert set(np.unique(pixels)) == {0, 255}
        assert 0.01 < (pixels == 255).mean() < 0.6
        heights[name] = np.nonzero(pixels)[0].mean()
    assert heights["upper"] < heights["lower"]
