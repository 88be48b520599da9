"""The examples in Python and JavaScript, run as their page says, against `tryon-masks serve`."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image, ImageOps
from tests.demo_photos import HALF_BODY, STANDING, TWO_FIGURES, demo_photo
from tests.standins.npm import NodeMissingError, install, node

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NODE_FOLDER = ROOT / ".make" / "examples"
START_S = 600
SIDE = 900
"""Longest side of the photos in pixels: quick to send."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = tmp_path_factory.mktemp("serve") / "output"
    with output.open("wb") as file:
        server = subprocess.Popen(
            [Path(sys.executable).with_name("tryon-masks"), "serve", "--port", str(port)],
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_S
        while not _answers(f"{address}/v1/health"):
            assert server.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=60).ok
    except requests.ConnectionError:
        return False


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return _photo(tmp_path / "me.jpg", STANDING)


def _photo(path: Path, pattern: str) -> Path:
    with Image.open(io.BytesIO(demo_photo(pattern))) as photo:
        small = ImageOps.exif_transpose(photo).convert("RGB")
        small.thumbnail((SIDE, SIDE))
        small.save(path, "JPEG")
    return path


def python(script: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / "python" / script)]


def javascript(script: str) -> list[str]:
    """A command that runs the script beside the packages that it needs."""
    try:
        command = node()
        install(EXAMPLES / "javascript", NODE_FOLDER)
    except NodeMissingError as missing:
        pytest.skip(str(missing))
    for module in (EXAMPLES / "javascript").glob("*.mjs"):
        shutil.copyfile(module, NODE_FOLDER / module.name)
    return [command, str(NODE_FOLDER / script)]


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "TOKEN"}
    return subprocess.run(
        [*command, *map(str, arguments)], env=environ, capture_output=True, text=True
    )


ONE_PHOTO = {"python": (python, "one_photo.py"), "fetch": (javascript, "masks-fetch.mjs")}


@pytest.fixture(params=ONE_PHOTO)
def one_photo(request: pytest.FixtureRequest) -> list[str]:
    """A command that makes the masks of one photo, into files beside it."""
    language, script = ONE_PHOTO[request.param]
    return language(script)


def test_one_photos_masks_lie_beside_it(one_photo: list[str], api: str, photo: Path) -> None:
    done = run(one_photo, api, photo)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(photo.with_suffix(f".{name}.png")) for name in ("upper", "lower")
    ]
    for line in done.stdout.splitlines():
        with Image.open(line) as mask, Image.open(photo) as shown:
            assert (mask.mode, mask.size) == ("L", shown.size)


def test_what_was_refused_is_said(one_photo: list[str], api: str, tmp_path: Path) -> None:
    done = run(one_photo, api, _photo(tmp_path / "half.jpg", HALF_BODY))

    assert (done.returncode, "half.upper.png" in done.stdout) == (0, True)
    assert done.stderr.startswith("lower: LEGS_NOT_VISIBLE: ")


def test_of_several_people_one_is_chosen(one_photo: list[str], api: str, tmp_path: Path) -> None:
    two = _photo(tmp_path / "two.jpg", TWO_FIGURES)

    asked = run(one_photo, api, two)
    chosen = run(one_photo, api, two, "2")

    assert (asked.returncode, asked.stdout, len(asked.stderr.splitlines())) == (3, "", 3)
    assert chosen.returncode == 0, chosen.stderr
    x0, _, x1, _ = map(float, asked.stderr.splitlines()[2].split()[1:])
    with Image.open(chosen.stdout.splitlines()[0]) as mask:
        left, _, right, _ = mask.getbbox() or (0, 0, 0, 0)
    assert x0 - (x1 - x0) / 2 < left < right < x1 + (x1 - x0) / 2


def test_an_error_says_its_code(one_photo: list[str], api: str, tmp_path: Path) -> None:
    no_photo = tmp_path / "notes.jpg"
    no_photo.write_text("no photo")

    done = run(one_photo, api, no_photo)

    assert done.returncode not in (0, 3)
    assert "UNSUPPORTED_PHOTO" in done.stderr


def test_axios_calls_by_the_old_path_and_the_new(api: str, photo: Path) -> None:
    done = run(javascript("masks-axios.mjs"), api, photo)

    assert done.returncode == 0, done.stderr
    old, new = done.stdout.splitlines()
    assert old.startswith("POST / success ")
    assert old.count(f" {api}/masks/") == 2
    assert new.startswith(f"POST /v1/masks success {api}/masks/")


def test_many_photos_are_answered_as_they_come(api: str, photo: Path, tmp_path: Path) -> None:
    no_photo = tmp_path / "notes.jpg"
    no_photo.write_text("no photo")

    done = run(python("many_photos.py"), api, photo, no_photo)

    answers = {line["photo"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert (done.returncode, set(answers)) == (1, {str(photo), str(no_photo)}), done.stderr
    assert set(answers[str(photo)]["masks"]) == {"upper", "lower"}
    assert answers[str(no_photo)]["error"]["code"] == "UNSUPPORTED_PHOTO"


def test_the_page_is_sound_javascript() -> None:
    for script in ("page.mjs", "tryon-masks.mjs"):
        command = javascript(script)
        command.insert(1, "--check")
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
