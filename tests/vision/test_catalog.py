"""The model set on disk is checked whole before the start."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tryon_masks.domain.errors import ModelSetError
from tryon_masks.vision.catalog import load_model_set

WEIGHTS = {"eyes": b"sees people", "hands": b"draws masks"}


def entry(name: str, content: bytes) -> dict[str, Any]:
    return {
        "id": name,
        "task": "see",
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "licence": "MIT",
        "package": f"@models/{name}",
        "version": "1.2.3",
        "inputs": {"image": [1, 3, 8, 8]},
        "outputs": {"logits": [1, 4]},
        "recipe": "0123456789abcdef",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in WEIGHTS.items():
        (tmp_path / f"{name}.onnx").write_bytes(content)
    write_manifest(tmp_path, {"set": "tiny", "files": [entry(*item) for item in WEIGHTS.items()]})
    return tmp_path


def write_manifest(folder: Path, manifest: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_whole_set_is_described_by_its_manifest(folder: Path) -> None:
    models = load_model_set("tiny", folder)

    assert models.name == "tiny"
    assert models.folder == folder
    assert list(models.files) == ["eyes", "hands"]
    hands = models.files["hands"]
    assert hands.path.read_bytes() == b"draws masks"
    assert hands.bytes == 11
    assert hands.sha256 == hashlib.sha256(b"draws masks").hexdigest()
    assert (hands.licence, hands.package, hands.version) == ("MIT", "@models/hands", "1.2.3")
    assert hands.inputs == {"image": (1, 3, 8, 8)}
    assert hands.outputs == {"logits": (1, 4)}


def test_a_missing_file_stops_the_start(folder: Path) -> None:
    (folder / "hands.onnx").unlink()

    with pytest.raises(ModelSetError, match=r"hands\.onnx cannot be read \(No such file"):
        load_model_set("tiny", folder)


def test_a_cut_file_stops_the_start(folder: Path) -> None:
    (folder / "hands.onnx").write_bytes(b"draws")

    with pytest.raises(ModelSetError, match=r"hands\.onnx has 5 bytes, expected 11"):
        load_model_set("tiny", folder)


def test_an_altered_file_stops_the_start_and_both_digests_are_named(folder: Path) -> None:
    (folder / "hands.onnx").write_bytes(b"draws tasks")

    with pytest.raises(ModelSetError) as caught:
        load_model_set("tiny", folder)

    found, expected = (hashlib.sha256(c).hexdigest() for c in (b"draws tasks", b"draws masks"))
    assert f"hands.onnx has sha256 {found}, expected {expected}" in str(caught.value)


def test_every_problem_is_reported_at_once(folder: Path) -> None:
    (folder / "eyes.onnx").unlink()
    (folder / "hands.onnx").write_bytes(b"")

    with pytest.raises(ModelSetError) as caught:
        load_model_set("tiny", folder)

    lines = str(caught.value).splitlines()
    assert "`make models MODEL_SET=tiny`" in lines[-1]
    assert lines[0] == "The model set tiny cannot be used:"
    assert [line.split()[1] for line in lines[1:-1]] == ["eyes.onnx", "hands.onnx"]


def test_the_public_message_has_no_folder_but_the_detail_has(folder: Path) -> None:
    (folder / "eyes.onnx").unlink()

    with pytest.raises(ModelSetError) as caught:
        load_model_set("tiny", folder)

    assert str(folder) not in str(caught.value)
    assert caught.value.detail == str(folder)


def test_a_set_that_was_not_built_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelSetError, match=r"manifest\.json cannot be read .*been built"):
        load_model_set("tiny", tmp_path / "tiny")


@pytest.mark.parametrize(
    "manifest",
    [
        "not a table",
        {"set": "tiny"},
        {"set": "tiny", "files": [{"id": "eyes"}]},
        {"set": "tiny", "files": [], "extra": 1},
        {"set": "tiny", "files": [entry("eyes", b"sees people") | {"bytes": "11"}]},
    ],
)
def test_what_is_not_a_manifest_stops_the_start(folder: Path, manifest: object) -> None:
    write_manifest(folder, manifest)

    with pytest.raises(ModelSetError, match=r"manifest\.json is not a manifest"):
        load_model_set("tiny", folder)


def test_another_sets_folder_stops_the_start(folder: Path) -> None:
    with pytest.raises(ModelSetError, match=r"manifest\.json is of the model set tiny"):
        load_model_set("large", folder)
