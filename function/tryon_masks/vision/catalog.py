"""The model set on disk: complete and unaltered, or the start is stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tryon_masks.domain.errors import ModelSetError

MANIFEST = "manifest.json"
REMEDY = (
    "has the set been built? `tryon-masks models --build` does it, and so does "
    "MaskMaker(download=True)"
)


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file of a set.

    ``inputs`` and ``outputs``: tensor name -> shape, all float32. ``package`` and ``version`` say
    where its weights come from, ``licence`` under which terms.
    """

    id: str
    task: str
    path: Path
    sha256: str
    bytes: int
    licence: str
    package: str
    version: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelSet:
    """A set whose every file was found whole. ``files``: by id."""

    name: str
    folder: Path
    files: Mapping[str, ModelFile]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    task: str
    file: str
    sha256: str
    bytes: int
    licence: str
    package: str
    version: str
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    recipe: str


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    set: str
    files: list[_Entry]


def load_model_set(name: str, folder: Path) -> ModelSet:
    """Check every file of the set in ``folder`` against the manifest that was built with it.

    Raises
    ------
    ModelSetError
        The manifest is missing, not readable, or another set's; or files are missing, cut or
        altered. The message names them all, one a line, and the command that makes them; the detail
        is their folder.
    """
    manifest = _read(name, folder)
    problems = [problem for entry in manifest.files if (problem := _problem(entry, folder))]
    if problems:
        raise ModelSetError(_lines(name, problems), detail=str(folder))
    return ModelSet(name, folder, {entry.id: _model(entry, folder) for entry in manifest.files})


def _read(name: str, folder: Path) -> _Manifest:
    try:
        manifest = _Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        problem = f"{MANIFEST} cannot be read ({error.strerror}): {REMEDY}"
        raise ModelSetError(_lines(name, [problem]), detail=str(folder)) from error
    except ValidationError as error:
        problem = f"{MANIFEST} is not a manifest ({error.error_count()} faults)"
        raise ModelSetError(_lines(name, [problem]), detail=f"{folder}: {error}") from error
    if manifest.set != name:
        problem = f"{MANIFEST} is of the model set {manifest.set}"
        raise ModelSetError(_lines(name, [problem]), detail=str(folder))
    return manifest


def _problem(entry: _Entry, folder: Path) -> str | None:
    try:
        with (folder / entry.file).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        return f"{entry.file} cannot be read ({error.strerror})"
    if size != entry.bytes:
        return f"{entry.file} has {size} bytes, expected {entry.bytes}"
    if found != entry.sha256:
        return f"{entry.file} has sha256 {found}, expected {entry.sha256}"
    return None


def _model(entry: _Entry, folder: Path) -> ModelFile:
    return ModelFile(path=folder / entry.file, **entry.model_dump(exclude={"file", "recipe"}))


def _lines(name: str, problems: list[str]) -> str:
    return "\n".join(
        (
            f"The model set {name} cannot be used:",
            *(f"- {problem}" for problem in problems),
            f"In a checkout, `make models MODEL_SET={name}` builds it; MODELS_DIR names another "
            "folder.",
        )
    )
