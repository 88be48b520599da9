"""For all tests: no time runs out, and what is costly to read is read once."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cache

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

from tryon_masks import deadline

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the calls' limits, so that a slow machine does not run into them."""
    monkeypatch.setattr(deadline, "clock", lambda: 0.0)


@pytest.fixture(scope="session", autouse=True)
def _service_models_are_read_once() -> Iterator[None]:
    """Share the loader of AWS's service models; botocore reads them anew for every session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests that run side by side send what was printed; half a character would not go through."""
    report = yield
    report.sections = [
        (name, text.encode(errors="replace").decode()) for name, text in report.sections
    ]
    return report
