"""Parts of the stack, each started once; a test whose parts are not on this machine is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.demo_photos import STANDING, demo_photo
from tests.stack import base_image
from tests.stack.engine import Engine, PartMissingError, engine
from tests.stack.sam import Sam, emulator

from tryon_masks.settings import Settings

MODEL_SET = Settings.model_set
"""What the project is built with where nobody chooses."""
FIGURES = pytest.StashKey[list[str]]()
Report = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `make local` first: two engines cannot share the images."""
    items.sort(key=lambda item: item.path.name != "test_local.py")


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test where a part is missing."""
    try:
        yield
    except PartMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Says a figure; the run ends with all of them."""
    return pytestconfig.stash[FIGURES].append


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A real photo: one full standing figure."""
    return demo_photo(STANDING)


@pytest.fixture(scope="session")
def emulator_path() -> Path:
    """The runtime interface emulator."""
    with or_skip():
        return emulator()


@pytest.fixture(scope="session")
def running_engine() -> Iterator[Engine]:
    """A container engine."""
    with ExitStack() as stack:
        with or_skip():
            started = stack.enter_context(engine())
        yield started


@pytest.fixture(scope="session")
def built(
    running_engine: Engine,
    emulator_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    report: Report,
) -> Sam:
    """The project as it is without any choice, built with ``sam build``."""
    with or_skip():
        base_image.ensure(running_engine, emulator_path)
    sam = Sam(running_engine, tmp_path_factory.mktemp("sam"), MODEL_SET)
    start = time.perf_counter()
    sam.build()
    seconds = time.perf_counter() - start
    shown = running_engine.run("image", "inspect", "--format", "{{.Size}}", sam.image)
    size = int(shown.stdout) / 1e6
    report(f"sam build, {MODEL_SET}: {seconds:.0f} s, image {size:.0f} MB unpacked")
    return sam
