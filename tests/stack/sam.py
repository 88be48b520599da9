"""The SAM CLI: its own environment in ``.sam`` (``make sam``), or the one on PATH."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.stack.calls import TIMEOUT_S
from tests.stack.engine import Engine, PartMissingError

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".sam" / "bin" / "sam"
REGION = "eu-central-1"


def command() -> Path:
    """The ``sam`` command.

    Raises
    ------
    PartMissingError
    """
    found = INSTALLED if INSTALLED.exists() else shutil.which("sam")
    if found is None:
        raise PartMissingError("the SAM CLI is not installed (make sam)")
    return Path(found)


def emulator() -> Path:
    """The Lambda runtime interface emulator that the SAM CLI carries.

    Raises
    ------
    PartMissingError
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise PartMissingError("the runtime emulator is used on Linux x86_64 only")
    python = command().resolve().parent / "python"
    asked = subprocess.run(
        [python, "-c", "import samcli.local.docker as d; print(d.__path__[0])"],
        capture_output=True,
        text=True,
    )
    binary = Path(asked.stdout.strip()).parent / "rapid" / "aws-lambda-rie-x86_64"
    if asked.returncode or not binary.exists():
        raise PartMissingError("this SAM CLI was not installed with pip, so carries no emulator")
    return binary


def functions(document: Mapping[str, Any]) -> dict[str, Any]:
    """The functions among a template's resources."""
    resources: dict[str, Any] = document["Resources"]
    return {n: r for n, r in resources.items() if r["Type"] == "AWS::Serverless::Function"}


@dataclass(frozen=True)
class Sam:
    """``sam`` on one engine, building into ``folder``, the image with one set of models."""

    engine: Engine
    folder: Path
    model_set: str

    @property
    def template(self) -> Path:
        """What ``sam build`` made of the template."""
        return self.folder / "build" / "template.yaml"

    def build(self) -> None:
        """``sam build``: both functions' image, from the project's Dockerfile as it is."""
        self._run(
            "build",
            *("--build-dir", self.template.parent),
            *("--cache-dir", self.folder / "cache"),
            *("--parameter-overrides", f"ModelSet={self.model_set}"),
        )
        # Both functions' image is one; another set's would be given the same name.
        (name,) = {body["Properties"]["ImageUri"] for body in functions(self.document()).values()}
        self.engine.run("tag", name, self.image)

    @property
    def image(self) -> str:
        """The image's name."""
        return f"tryon-masks-stack:{self.model_set}"

    def document(self) -> dict[str, Any]:
        """The built template."""
        document: dict[str, Any] = yaml.safe_load(self.template.read_text())
        return document

    def invoke(
        self,
        function: str,
        event: Mapping[str, Any],
        *,
        parameters: Mapping[str, str],
        environ: Mapping[str, str],
        network: str,
    ) -> Invocation:
        """``sam local invoke``.

        Parameters
        ----------
        parameters
            The template's parameters.
        environ
            What a deployed function would not have: where the stand-ins are.
        """
        local = self.folder / "local.json"
        document = self.document()
        properties = document["Resources"][function]["Properties"]
        properties["ImageUri"] = self.image
        properties.setdefault("Environment", {}).setdefault("Variables", {}).update(environ)
        properties["Timeout"] = TIMEOUT_S
        local.write_text(json.dumps(document))
        event_file = self.folder / "event.json"
        event_file.write_text(json.dumps(event))
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        done = self._run(
            *("local", "invoke", function, "--template", local, "--event", event_file),
            *("--docker-network", network, "--skip-pull-image", "--region", REGION),
            *("--parameter-overrides", *overrides),
        )
        return Invocation(done.stdout, done.stderr)

    def _run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [command(), *map(str, arguments)],
            cwd=ROOT,
            env={**self.engine.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"sam {arguments[0]} failed:\n{(done.stdout + done.stderr)[-6000:]}")
        return done


@dataclass(frozen=True)
class Invocation:
    """What ``sam local invoke`` printed: the answer on stdout, the function's own on stderr."""

    stdout: str
    stderr: str

    @property
    def answer(self) -> Any:
        """The function's answer."""
        return json.loads(self.stdout.strip().splitlines()[-1])
