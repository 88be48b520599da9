"""Every file ends in a photo or in a refusal, within fixed memory and time.

``pytest tests/unit/test_hostile_photos.py`` prints how many were tried; FUZZ_EXAMPLES=20000 before
it tries more, for hours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit import hostile_photos
from tests.unit.decoding import IMAGE, Decoder, Outcome
from tests.unit.test_images import ENCODERS, LIMITS, noise

from tryon_masks.domain.errors import UnsupportedPhoto
from tryon_masks.images import decode

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
MEMORY_MB = 1000
CPU_S = 15
GRAINY = {kind: encode(noise(96, 64)) for kind, encode in ENCODERS.items()}


@pytest.fixture(scope="module")
def decoder(request: pytest.FixtureRequest) -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\n{decoder.figures()}")


def within_bounds(outcome: Outcome) -> bool:
    return not outcome.crashed and outcome.memory_mb < MEMORY_MB and outcome.cpu_s < CPU_S


def test_the_corpus(decoder: Decoder) -> None:
    outcomes = {name: decoder.decode(name, data) for name, data in hostile_photos.corpus()}

    assert [outcome for outcome in outcomes.values() if not within_bounds(outcome)] == []
    # Which file is refused how, other tests tell; here, that photos are still taken.
    for kind in ENCODERS:
        assert outcomes[f"{kind}, whole"].what == IMAGE
        assert outcomes[f"{kind}, 5 tenths"].what == "BrokenPhoto"
    assert len(outcomes) > 500


def test_the_largest_photos_that_are_taken(decoder: Decoder) -> None:
    outcomes = [decoder.decode(name, data) for name, data in hostile_photos.large()]

    assert [one for one in outcomes if one.what != IMAGE or not within_bounds(one)] == []


@pytest.mark.parametrize("kind", GRAINY)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=30
    ),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
@example(flips=[(0.0, 0)], cut=None)
def test_flipped_bits(
    decoder: Decoder, kind: str, flips: list[tuple[float, int]], cut: float | None
) -> None:
    data = bytearray(GRAINY[kind])
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    if cut is not None:
        del data[int(cut * len(data)) :]
    outcome = decoder.decode(f"{kind}, {flips}, {cut}", bytes(data))
    assert within_bounds(outcome), outcome


class TestParts:
    """Files whose decoding costs far more than their bytes."""

    def test_a_hundred_scans_are_taken_and_no_more(self) -> None:
        assert decode(hostile_photos.scans(100, 160), LIMITS).width == 160
        with pytest.raises(UnsupportedPhoto, match="too many parts"):
            decode(hostile_photos.scans(101, 160), LIMITS)

    @pytest.mark.parametrize("build", [hostile_photos.segments, hostile_photos.chunks])
    def test_many_segments_and_chunks_are_taken_but_not_thousands(self, build: object) -> None:
        assert callable(build)
        assert decode(build(1900), LIMITS).width
        with pytest.raises(UnsupportedPhoto, match="too many parts"):
            decode(build(2001), LIMITS)

    def test_a_scan_inside_a_segment_is_none(self) -> None:
        photo = ENCODERS["jpeg"](noise())
        thumbnails = b"\xff\xfe" + (60_002).to_bytes(2, "big") + b"\xff\xda\x00\x02" * 15_000
        assert decode(photo[:2] + thumbnails + photo[2:], LIMITS).width

    def test_scans_behind_the_picture_are_none(self) -> None:
        assert decode(ENCODERS["jpeg"](noise()) + b"\xff\xda\x00\x02" * 500, LIMITS).width
