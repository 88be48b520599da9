from __future__ import annotations

import threading

import pytest

from tryon_masks.adapters.parallel import save_in_parallel
from tryon_masks.deadline import time_limit
from tryon_masks.domain.errors import OutOfTime
from tryon_masks.ports import EncodedImage

FILES = {name: EncodedImage(b"pixels", "image/png", "png") for name in ("upper", "lower")}


def test_a_store_that_hangs_does_not_hold_the_call_beyond_its_time() -> None:
    go_on = threading.Event()

    def save(name: str, _file: EncodedImage) -> str:
        if name == "lower":
            assert go_on.wait(60)
        return name

    try:
        with time_limit(0.1), pytest.raises(OutOfTime) as raised:
            save_in_parallel(FILES, save)
    finally:
        go_on.set()

    assert raised.value.detail == "1 of 2 files were not stored in time"


def test_with_time_enough_every_file_has_its_address() -> None:
    with time_limit(60):
        assert save_in_parallel(FILES, lambda name, _file: name) == {
            "upper": "upper",
            "lower": "lower",
        }
