"""`make local`: what its page says works, and nothing is left of it.

These tests come first, because they start an engine of their own.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image
from tests.contract.pages import shell_blocks
from tests.stack.conftest import MODEL_SET, Report
from tests.stack.deployed import wait_until
from tests.stack.engine import FORWARDING, TABLES
from tests.stack.local import ENVIRONMENT, READY
from tests.stack.sam import ROOT

pytestmark = pytest.mark.stack

START_S = 3600
"""The first time it makes the image."""
END_S = 300
DONE_S = 300
PORT = 3000
TRIES = 3
SAM_LINES = [
    line
    for block in shell_blocks("local", "sam local")
    for line in block.splitlines()
    if "sam local invoke" in line
]
ANSWERS = {
    "api-job": 404,
    "api-batch": 404,
    "api-upload": 201,
    "api-masks-later": 202,
    "api-batches": 202,
}
"""Those of the API that are not 200."""


@dataclass(frozen=True)
class Machine:
    """What of this machine `make local` might change."""

    mounts: frozenset[str]
    links: frozenset[str]
    addresses: frozenset[str]
    rules: tuple[str, ...]
    forwarding: str

    @classmethod
    def now(cls) -> Machine:
        listed = subprocess.run(
            ["ip", "-oneline", "address"], check=True, capture_output=True, text=True
        ).stdout
        return cls(
            frozenset(Path("/proc/self/mounts").read_text().splitlines()),
            frozenset(path.name for path in Path("/sys/class/net").iterdir()),
            frozenset(re.findall(r"inet6? (\S+)", listed)),
            tuple(
                subprocess.run(
                    ["iptables", "--table", table, "-S"],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
                for table in TABLES
            ),
            FORWARDING.read_text(),
        )


@dataclass
class Local:
    """`make local` while it runs; ``folder`` is all that it may write temporary files to."""

    process: subprocess.Popen[bytes]
    folder: Path
    output: Path
    before: Machine = field(repr=False)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def has_said(self, words: str) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"it has ended:\n{self.said}")
        return words in self.said

    def shell(self, commands: str) -> str:
        """What the commands print, in a terminal that has read the file."""
        script = f"source {shlex.quote(str(ENVIRONMENT))}\n{commands}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr[-6000:]}"
        return done.stdout

    def answers(self, commands: str) -> list[Any]:
        """The JSON that the commands print."""
        text, answers = self.shell(commands).strip(), []
        while text:
            answer, end = json.JSONDecoder().raw_decode(text)
            answers.append(answer)
            text = text[end:].strip()
        return answers

    def wait_for(self, path: str, there: Callable[[Any], bool]) -> Any:
        """What the API says at the path, once that is so."""
        found: list[Any] = []

        def look() -> bool:
            found[:] = self.answers(f'signed "$API_URL{path}"')
            return there(found[0])

        wait_until(look, DONE_S, path)
        return found[0]

    def processes(self) -> list[str]:
        """The command lines of its own, and of all that work in its folder."""
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                group = os.getpgid(int(process.name))
            except (OSError, ValueError):
                continue
            # One without a command line has ended, and only waits to be noticed.
            if line and (group == self.process.pid or str(self.folder) in line):
                lines.append(line)
        return lines

    def end(self) -> None:
        """As Ctrl-C does: every process of the terminal is told."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(END_S)

    def check_nothing_is_left(self) -> None:
        assert self.process.returncode == 0, self.said
        assert self.processes() == []
        assert list(self.folder.iterdir()) == []
        self.folder.rmdir()
        assert not ENVIRONMENT.exists()
        assert Machine.now() == self.before


def start(folder: Path) -> Local:
    before = Machine.now()
    output = folder / "output"
    # A socket's path can have about a hundred characters, and pytest's own are long.
    work = Path(tempfile.mkdtemp(prefix="masks-"))
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stack.local"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(work)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Local(process, work, output, before)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Local]:
    missing = subprocess.run(
        [sys.executable, "-m", "tests.stack.can_run", "local"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if missing.returncode:
        pytest.skip(missing.stderr)
    begun = time.perf_counter()
    started = start(tmp_path_factory.mktemp("local"))
    try:
        wait_until(lambda: started.has_said(READY), START_S, "the service")
        report(f"make local: there after {time.perf_counter() - begun:.0f} s")
        yield started
    finally:
        if started.process.poll() is None:
            started.end()


def test_calls_as_the_page_says(local: Local) -> None:
    block = next(block for block in shell_blocks("local", "make local") if "/v1/health" in block)

    health, made = local.answers(block)

    assert (health["ready"], health["model_set"]) == (True, MODEL_SET)
    assert made["status"] == "success"
    for address in made["masks"].values():
        with Image.open(io.BytesIO(requests.get(address, timeout=60).content)) as mask:
            assert mask.mode == "L"


def test_a_job_and_a_batch_as_the_page_says(local: Local) -> None:
    block = next(block for block in shell_blocks("local", "make local") if "/v1/batches" in block)

    job, batch = local.answers(block)

    job = local.wait_for(
        f"/v1/jobs/{job['job_id']}", lambda found: found["state"] not in ("queued", "running")
    )
    assert (job["state"], set(job["answer"]["masks"])) == ("success", {"upper", "lower"})
    batch = local.wait_for(
        f"/v1/batches/{batch['batch_id']}", lambda found: found["state"] == "done"
    )
    (results,) = batch["results"]
    lines = requests.get(results, timeout=60).text.splitlines()
    assert [set(json.loads(line)["masks"]) for line in lines] == [{"upper", "lower"}, {"upper"}]


def test_an_upload_as_the_page_says(local: Local) -> None:
    block = next(block for block in shell_blocks("local", "make local") if "/v1/uploads" in block)

    (job,) = local.answers(block)

    job = local.wait_for(
        f"/v1/jobs/{job['job_id']}", lambda found: found["state"] not in ("queued", "running")
    )
    assert (job["state"], set(job["answer"]["masks"])) == ("partial", {"upper"})


def test_the_command_line_erases_what_the_service_keeps(local: Local) -> None:
    command = shlex.quote(str(Path(sys.executable).with_name("tryon-masks")))

    looked, erased, again = local.answers(
        f"{command} erase --user-id ada\n" + 2 * f"{command} erase --user-id ada --yes\n"
    )

    found = {place["place"]: place["found"] for place in looked["places"]}
    assert (found["jobs"], found["masks"]) == (2, 3)
    assert found["profile and step log"] >= 3
    assert erased["status"] == "erased"
    assert {place["found"] for place in again["places"]} == {0}


@pytest.mark.parametrize("line", SAM_LINES, ids=lambda line: re.findall(r"([\w-]+)\.json", line)[0])
def test_an_event_runs_by_its_line(local: Local, line: str) -> None:
    (name,) = re.findall(r"events/([\w-]+)\.json", line)
    (photos,) = re.findall(
        r"^photos\(\).*$", "\n".join(shell_blocks("local", "sam local")), re.MULTILINE
    )

    answer: Any = None
    for _ in range(TRIES):
        said = local.shell(f"{photos}\n{line}").strip().splitlines()
        answer = json.loads(said[-1]) if said else None
        # A container's start is part of the call here: a busy machine may not be done in time.
        if answer is not None and answer.get("statusCode") != 504:
            break

    if name.startswith("api-"):
        assert answer.get("statusCode") == ANSWERS.get(name, 200), answer
    elif name == "s3-upload":
        assert answer == {"status": "done", "uploads": 1}
    else:
        assert answer == {"batchItemFailures": []}


def test_the_whole_api_runs_under_sam(local: Local, tmp_path: Path) -> None:
    command, call = (block for block in shell_blocks("local", "sam local") if "invoke" not in block)
    script = f"source {shlex.quote(str(ENVIRONMENT))}\nexec {command}"
    with (tmp_path / "output").open("wb") as output:
        api = subprocess.Popen(
            ["bash", "-c", script],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(listens, DONE_S, "sam local start-api")
        for _ in range(TRIES):
            (answer,) = local.answers(call)
            # The first call is the container's start, too.
            if answer.get("status") == "success":
                break
    finally:
        api.terminate()
        api.wait(END_S)
    assert answer.get("status") == "success", (tmp_path / "output").read_text()[-6000:]
    assert set(answer["masks"]) == {"upper", "lower"}


def listens() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def test_nothing_is_left_after_an_interrupt(local: Local, report: Report) -> None:
    before = len(local.processes())

    local.end()

    local.check_nothing_is_left()
    assert before > 2
    report(f"make local: {before} processes, none left after Ctrl-C")


def test_nothing_is_left_where_the_interrupt_comes_while_it_starts(
    local: Local, tmp_path: Path
) -> None:
    assert local.process.returncode is not None
    started = start(tmp_path)
    wait_until(lambda: started.has_said("sam build"), START_S, "the engine")

    started.end()

    started.check_nothing_is_left()
