"""What comes along from others: looked up for flaws, pinned, and silent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from tests.tools.audit import verdict

ROOT = Path(__file__).parents[2]
SOURCES = list((ROOT / "function").rglob("*.py"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/"),
    "PYTHONPATH": f"{ROOT / 'function'}:{ROOT}",
}
TINY = onnx.helper.make_model(
    onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["in"], ["out"])],
        "tiny",
        [onnx.helper.make_tensor_value_info("in", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])],
    ),
    opset_imports=[onnx.helper.make_opsetid("", 17)],
    ir_version=9,
)
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
    for lock in (
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-image.txt",
        "docs/requirements.txt",
    ):
        text = (ROOT / lock).read_text().replace("\\\n", " ")
        pins = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
        assert pins
        assert [line for line in pins if "==" not in line or "--hash=sha256:" not in line] == []


def offline(program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the kernel ends whoever connects or sends."""
    return subprocess.run(
        [sys.executable, "-c", f"import tests.unit.offline\n{program}", *argv],
        env=ENVIRON,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_switches_onnx_runtimes_reports_off() -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in DOCKERFILE


def test_no_library_goes_to_the_network_when_it_is_loaded_or_run(tmp_path: Path) -> None:
    """Compiled code neither: the kernel would end the process."""
    onnx.save(TINY, tmp_path / "tiny.onnx")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "import numpy, cv2, PIL.Image, pillow_heif, boto3, cloudinary, pydantic, requests\n"
        "import cloudinary.uploader, google.cloud.firestore, aws_lambda_powertools\n"
        "from tryon_masks.vision.runtime import Model\n"
        "tensor = numpy.ones(1, numpy.float32)\n"
        "print(Model(Path(sys.argv[1]), 2, ('out',)).run(tensor))\n"
        # With its telemetry on, ONNX Runtime 1.32 calls its vendor after seven.
        "time.sleep(10)\n"
    )
    ran = offline(program, str(tmp_path / "tiny.onnx"))
    assert ran.returncode == 0, ran.stderr
    assert "1." in ran.stdout


def test_going_to_the_network_would_end_the_process() -> None:
    ran = offline("import socket; socket.create_connection(('127.0.0.1', 9), 1)")
    assert ran.returncode == -signal.SIGSYS


def test_telemetry_is_off_wherever_models_are_run() -> None:
    program = "import os, tryon_masks.vision.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    ran = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRON, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "1\n"
    others = {path.name for path in SOURCES if "import onnxruntime" in path.read_text()}
    assert others == {"runtime.py"}


def stages() -> dict[str, list[str]]:
    """The Dockerfile's instructions by stage, continued lines joined; the last is ``image``."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        if line.startswith("FROM "):
            name = line.partition(" AS ")[2] or "image"
            found[name] = []
        else:
            found[name].append(line)
    return found


def test_the_image_gets_nothing_but_what_was_checked() -> None:
    image = stages()["image"]
    copied = [line.split()[1] for line in image if line.startswith("COPY")]
    assert copied == ["--from=models", "--from=dependencies", "--from=code"]
    assert {line.split()[0] for line in image} == {"ARG", "ENV", "COPY", "CMD"}
    (pip,) = (line for line in stages()["dependencies"] if " pip install " in line)
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in pip


def test_the_images_files_can_be_read_by_a_user_who_owns_none_of_them() -> None:
    """Lambda's. A ``USER`` would change nothing there, and keep ``sam local`` from its own."""
    for name, lines in stages().items():
        assert not any(line.startswith("USER") for line in lines)
        if name != "image":
            assert "chmod -R a+rX" in lines[-1]


def test_the_image_holds_no_secret() -> None:
    (env,) = (line for line in stages()["image"] if line.startswith("ENV"))
    names = set(re.findall(r"(\w+)=", env))
    assert names == {"MODEL_SET", "MODELS_DIR", "ORT_DISABLE_TELEMETRY"}


def test_functions_write_to_nothing_but_tmp() -> None:
    """No file system is attached, and ``/tmp`` is as small as it can be."""
    template = (ROOT / "template.yaml").read_text()
    assert "FileSystemConfigs" not in template
    assert "EphemeralStorage" not in template
