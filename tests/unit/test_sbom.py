"""The bill of materials names everything that goes into the image, and is valid CycloneDX."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.tools import sbom

from tryon_masks.vision.catalog import ModelFile

LOCK = r"""
# a comment
both==1.0 \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via somebody
older==2.4 ; python_full_version < '3.12' \
    --hash=sha256:cc
newer==2.5 ; python_full_version >= '3.12' \
    --hash=sha256:dd
elsewhere==0.4 ; sys_platform == 'win32' \
    --hash=sha256:ee
"""
MODELS = [
    ModelFile(
        id=name,
        task="find people",
        path=Path("models") / f"{name}.onnx",
        sha256=digit * 64,
        bytes=1,
        licence=licence,
        package="@somebody/models",
        version="1.2",
        inputs={},
        outputs={},
    )
    for name, digit, licence in (("finder", "a", "Apache-2.0"), ("parser", "b", "MIT"))
]


@pytest.fixture(scope="module")
def document() -> str:
    return sbom.bill("compact", MODELS)


@pytest.fixture(scope="module")
def parts(document: str) -> Mapping[str, Any]:
    return {part["name"]: part for part in json.loads(document)["components"]}


def licence(part: Mapping[str, Any]) -> str:
    (told,) = part["licenses"]
    return str(told.get("expression") or told["license"].get("id") or told["license"]["name"])


def test_a_lock_is_read_for_one_python_on_linux() -> None:
    assert sbom.packages(LOCK, "3.13") == [
        sbom.Package("both", "1.0", ("aa", "bb")),
        sbom.Package("newer", "2.5", ("dd",)),
    ]


def test_every_pinned_package_of_the_image_is_in_it(parts: Mapping[str, Any]) -> None:
    pins = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.+))? \\$", sbom.LOCK.read_text(), re.MULTILINE)
    assert len(pins) > 30
    for name, version, marker in pins:
        if marker and ("win32" in marker or "< '3.12'" in marker):
            continue
        assert parts[name]["version"] == version
        assert parts[name]["purl"] == f"pkg:pypi/{name}@{version}"
        assert parts[name]["hashes"]
        assert licence(parts[name])


def test_what_is_installed_for_other_systems_is_not(parts: Mapping[str, Any]) -> None:
    assert "colorama" not in parts


def test_every_model_file_is_in_it_with_digest_and_licence(parts: Mapping[str, Any]) -> None:
    for model in MODELS:
        part = parts[model.path.name]
        assert part["type"] == "machine-learning-model"
        assert part["version"] == model.version
        assert part["hashes"] == [{"alg": "SHA-256", "content": model.sha256}]
        assert licence(part) == model.licence


def test_the_base_image_is_named(parts: Mapping[str, Any]) -> None:
    name, python = sbom.base_image()
    assert parts[name]["type"] == "container"
    assert f":{python}" in sbom.DOCKERFILE.read_text()


def test_it_is_valid_and_names_no_registry(document: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    assert set(re.findall(r"https?://([\w.-]+)", document)) == {"cyclonedx.org"}


def test_a_package_that_nobody_knows_has_no_licence() -> None:
    with pytest.raises(PackageNotFoundError):
        sbom.licence_of("no-such-package")


def test_it_lies_where_the_image_takes_its_models_from() -> None:
    copied = "COPY --from=models /build/models/build/${MODEL_SET}/ ${MODELS_DIR}/${MODEL_SET}/"
    assert copied in sbom.DOCKERFILE.read_text()
