"""What comes along from others: looked up for flaws, pinned, and silent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tools.audit import verdict

ROOT = Path(__file__).parents[2]
GOOD = {"name": "good", "version": "1.0", "vulns": []}
FLAWED = {"name": "flawed", "version": "2.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": []}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([GOOD], 0, "audited 1 of 1"),
        ([GOOD, FLAWED], 1, "flawed 2.0: CVE-2026-1"),
        ([GOOD, UNKNOWN], 0, "not audited: unknown"),
        ([FLAWED, UNKNOWN], 1, "audited 1 of 2"),
        ([UNKNOWN, UNKNOWN], 0, "SKIPPED"),
    ],
)
def test_the_audits_verdict(packages: list[object], code: int, said: str) -> None:
    answered, text = verdict(json.dumps({"dependencies": packages}))
    assert answered == code
    assert said in text


def test_no_report_is_told_and_is_no_pass() -> None:
    assert verdict("") == (
        0,
        "SKIPPED: nothing was audited, the vulnerability data cannot be reached.",
    )


def test_every_locked_package_has_its_hashes() -> None:
    for lock in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / lock).read_text().replace("\\\n", " ")
        pins = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
        assert pins
        assert [line for line in pins if "==" not in line or "--hash=sha256:" not in line] == []


def test_the_image_switches_onnx_runtimes_reports_off() -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in (ROOT / "Dockerfile").read_text()


def test_no_library_opens_a_connection_when_it_is_loaded() -> None:
    """As far as Python sees it: compiled code could open one of its own."""
    program = (
        "import sys\n"
        "calls = []\n"
        "names = ('socket.connect', 'socket.getaddrinfo', 'socket.sendto')\n"
        "sys.addaudithook(lambda name, args: calls.append(name) if name in names else None)\n"
        "import numpy, cv2, PIL.Image, pillow_heif, onnxruntime, boto3, cloudinary, pydantic\n"
        "import cloudinary.uploader, google.cloud.firestore, aws_lambda_powertools, requests\n"
        "onnxruntime.get_available_providers()\n"
        "print(calls)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
