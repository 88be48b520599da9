"""Writes what the image is made of, as CycloneDX JSON, beside the model set: ``make sbom``.

Python packages come from the lock, as far as they are for the image's Python, with the digests that
pip accepts; their licences from the metadata of what is installed here. Models come from the built
set. What the base image brings along is its publisher's to list.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import metadata
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import Marker

from tryon_masks import __version__
from tryon_masks.vision.catalog import ModelFile, load_model_set

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-image.txt"
DOCKERFILE = ROOT / "Dockerfile"
NAME = "sbom.cdx.json"
LICENCE = "Apache-2.0"
PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)(?: ; (?P<marker>.+?))?(?= --hash)")
BASE = re.compile(r"^FROM \S+?/(?P<name>[\w/-]+):(?P<version>[\d.]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One pinned package, and the SHA-256 digests of which its file has one."""

    name: str
    version: str
    digests: tuple[str, ...]


def base_image() -> tuple[str, str]:
    """The name of the last stage's image, and its version, which is Python's."""
    found = BASE.findall(DOCKERFILE.read_text())
    name, version = found[-1]
    return name, version


def packages(lock: str, python: str) -> list[Package]:
    """What pip installs from the text of a lock on x86-64 Linux under this Python, as 3.13."""
    target = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    found = []
    for line in lock.replace("\\\n", " ").splitlines():
        # A space for each line that was joined.
        if not (pin := PIN.match(re.sub(r" +", " ", line))):
            continue
        if pin["marker"] is None or Marker(pin["marker"]).evaluate(target):
            digests = tuple(re.findall(r"--hash=sha256:(\w+)", line))
            found.append(Package(pin["name"], pin["version"], digests))
    return found


def licence_of(name: str) -> str:
    """What the installed package of this name declares.

    Raises
    ------
    LookupError
        It declares nothing.
    PackageNotFoundError
        It is not installed.
    """
    declared = metadata(name)
    kinds = [kind for kind in declared.get_all("Classifier", []) if kind.startswith("License ::")]
    fields: Message = declared  # type: ignore[assignment]  # what importlib's reader really is
    told = fields.get("License-Expression") or fields.get("License") or ""
    if told and "\n" not in told:
        return told
    if not kinds:
        raise LookupError(f"{name} declares no licence")
    return " and ".join(kind.rpartition(" :: ")[2] for kind in kinds)


def bill(model_set: str, models: Iterable[ModelFile]) -> str:
    """The document, as JSON text."""
    base_name, python = base_image()
    bom = Bom()
    image = Component(
        type=ComponentType.CONTAINER,
        name=f"tryon-masks:{model_set}",
        version=__version__,
        licenses=[LicenseFactory().make_from_string(LICENCE)],
        bom_ref="image",
    )
    parts = [Component(type=ComponentType.CONTAINER, name=base_name, version=python)]
    for package in packages(LOCK.read_text(), python):
        parts.append(
            Component(
                type=ComponentType.LIBRARY,
                name=package.name,
                version=package.version,
                purl=PackageURL("pypi", name=package.name, version=package.version),
                licenses=[LicenseFactory().make_from_string(licence_of(package.name))],
                hashes=[_sha256(digest) for digest in package.digests],
                bom_ref=f"{package.name}=={package.version}",
            )
        )
    for model in models:
        parts.append(
            Component(
                type=ComponentType.MACHINE_LEARNING_MODEL,
                name=model.path.name,
                version=model.version,
                description=model.task,
                licenses=[LicenseFactory().make_from_string(model.licence)],
                hashes=[_sha256(model.sha256)],
                properties=[Property(name="tryon-masks:source", value=model.package)],
                bom_ref=model.path.name,
            )
        )
    bom.metadata.component = image
    bom.components.update(parts)
    bom.register_dependency(image, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def main(model_set: str) -> int:
    """Write the bill of the image with this set, which is built."""
    folder = ROOT / "models" / "build" / model_set
    path = folder / NAME
    path.write_text(bill(model_set, load_model_set(model_set, folder).files.values()))
    print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
