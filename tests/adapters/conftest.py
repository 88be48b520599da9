"""A photo source whose only network is the make-believe internet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.standins.internet import PHOTO, Authority, Internet

from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.adapters.http import HttpPhotoSource


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def internet(authority: Authority) -> Iterator[Internet]:
    internet = Internet(authority)
    yield internet
    internet.close()


@pytest.fixture
def source(internet: Internet, authority: Authority) -> Callable[..., HttpPhotoSource]:
    def make(timeout_s: float = 5, allow_http: bool = False) -> HttpPhotoSource:
        return HttpPhotoSource(
            len(PHOTO),
            timeout_s,
            AddressRules(allow_http),
            resolve=internet.resolve,
            dial=internet.dial,
            tls=authority.trusting,
        )

    return make
