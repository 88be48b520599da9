from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes

from tryon_masks import deadline
from tryon_masks.domain.errors import (
    InProgress,
    InvalidRequest,
    OutOfTime,
    PhotoFetchFailed,
    PhotoTooLarge,
    StoreFailed,
    UnsupportedPhoto,
)
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.parts import Part
from tryon_masks.domain.person import Box, Candidate
from tryon_masks.domain.profiles import Profile
from tryon_masks.images import Limits
from tryon_masks.outputs.extra import Output
from tryon_masks.outputs.targets import TargetName
from tryon_masks.ports import EncodedImage
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult, MaskService
from tryon_masks.telemetry import RequestLog, request_log

URL = "https://example.com/photo.jpg"


class House:
    """A service on fakes, all of them within reach."""

    def __init__(
        self,
        vision: fakes.FakeVision | None = None,
        idempotency: fakes.FakeIdempotency | None = None,
        photo_time_s: float = 0.0,
        photos: fakes.FakePhotos | None = None,
        **limits: int,
    ) -> None:
        self.vision = vision or fakes.FakeVision()
        self.store = fakes.FakeStore()
        self.photos = photos or fakes.FakePhotos({URL: fakes.photo()})
        self.profiles = fakes.FakeProfiles()
        self.service = MaskService(
            self.vision,
            self.store,
            self.photos,
            self.profiles,
            limits=Limits(**limits),
            idempotency=idempotency,
            photo_time_s=photo_time_s,
        )

    def make(
        self,
        log: RequestLog,
        photo: str | bytes = URL,
        key: str | None = None,
        user: str = "user-1",
        **options: Any,
    ) -> MaskResult:
        return self.service.make(MaskRequest(photo, user, MaskOptions(**options), key), log)


@pytest.fixture
def log() -> Iterator[RequestLog]:
    with request_log("request-1", "user-1") as log:
        yield log


def pixels(file: EncodedImage) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(file.data)))


def steps(log: RequestLog) -> list[tuple[str, str]]:
    return [(record["step"], record["status"]) for record in log.records]


def test_both_masks_are_stored_on_the_photos_own_grid(log: RequestLog) -> None:
    house = House()

    result = house.make(log)

    assert (result.status, result.refused) == ("success", [])
    ((key, files),) = house.store.files.items()
    assert result.masks == {
        "upper": f"https://masks.example.com/{key}/upper.png",
        "lower": f"https://masks.example.com/{key}/lower.png",
    }
    painted = fakes.part_map()
    upper, lower = pixels(files["upper"]), pixels(files["lower"])
    assert upper.shape == lower.shape == (fakes.HEIGHT, fakes.WIDTH)
    assert (upper[painted == Part.TOP] == 255).mean() > 0.95
    assert (lower[painted == Part.TROUSERS] == 255).mean() > 0.95
    assert not upper[painted == Part.FACE].any()
    assert not lower[painted == Part.FACE].any()


def test_the_result_tells_what_was_seen(log: RequestLog) -> None:
    house = House()

    result = house.make(log)

    assert (result.width, result.height) == (fakes.WIDTH, fakes.HEIGHT)
    assert result.model_set == "fake"
    assert result.people_found == 1
    assert result.person is not None
    assert result.person.box == fakes.BOX
    upper = pixels(next(iter(house.store.files.values()))["upper"])
    assert result.quality["upper"].coverage == pytest.approx((upper == 255).mean(), abs=0.005)
    assert 0 < result.quality["upper"].confidence <= 1


def test_the_box_is_in_pixels_of_the_photo_however_large(log: RequestLog) -> None:
    house = House()
    large = fakes.photo(width=4 * fakes.WIDTH, height=4 * fakes.HEIGHT)

    result = house.make(log, photo=large, person_box=fakes.BOX.scaled(4))

    assert result.person is not None
    assert result.person.box.x0 == pytest.approx(4 * fakes.BOX.x0, abs=4)
    assert result.person.box.y1 == pytest.approx(4 * fakes.BOX.y1, abs=4)
    upper = pixels(next(iter(house.store.files.values()))["upper"])
    assert upper.shape == (4 * fakes.HEIGHT, 4 * fakes.WIDTH)


def test_max_side_bounds_the_files(log: RequestLog) -> None:
    house = House()

    house.make(log, max_side=200)

    (files,) = house.store.files.values()
    assert pixels(files["upper"]).shape == (200, 150)


def test_every_mask_asked_for_comes_from_one_pass(log: RequestLog) -> None:
    house = House()

    result = house.make(log, masks=(MaskKind.FULL, MaskKind.FACE, MaskKind.PROTECT))

    assert set(result.masks) == {"full", "face", "protect"}
    assert house.vision.parsed == 1


def test_an_overlay_is_stored_beside_the_masks_and_is_none(log: RequestLog) -> None:
    house = House()

    result = house.make(log, overlay=True)

    assert set(result.masks) == {"upper", "lower"}
    assert result.overlay is not None
    assert result.overlay.endswith("/overlay.jpg")


def test_a_half_body_has_an_upper_mask_only(log: RequestLog) -> None:
    house = House(fakes.FakeVision(without=fakes.LEG_POINTS))

    result = house.make(log)

    assert result.status == "partial"
    assert set(result.masks) == set(result.quality) == {"upper"}
    assert [(one.mask, one.code) for one in result.refused] == [("lower", "LEGS_NOT_VISIBLE")]
    assert ("shape_mask", "refused") in steps(log)


@pytest.mark.parametrize(("people", "code"), [(0, "NO_PERSON"), (2, "SEVERAL_PEOPLE")])
def test_a_refused_photo_stores_nothing(log: RequestLog, people: int, code: str) -> None:
    house = House(fakes.FakeVision(people))

    result = house.make(log, overlay=True)

    assert result.status == "refused"
    assert (result.masks, result.overlay, result.quality) == ({}, None, {})
    assert [(one.mask, one.code) for one in result.refused] == [("upper", code), ("lower", code)]
    assert result.person is None
    assert result.people_found == people
    assert house.store.files == {}
    assert house.profiles.merged == []
    assert house.vision.parsed == 0


def test_of_several_people_the_largest_may_be_asked_for(log: RequestLog) -> None:
    assert House(fakes.FakeVision(2)).make(log, person="largest").status == "success"


def test_the_person_in_the_box_is_taken(log: RequestLog) -> None:
    second = Box(fakes.BOX.x0 + 9, fakes.BOX.y0, fakes.BOX.x1 + 9, fakes.BOX.y1)

    result = House(fakes.FakeVision(2)).make(log, person_box=second)

    assert result.person is not None
    assert result.person.box == second


def test_the_profile_gets_the_addresses(log: RequestLog) -> None:
    house = House()

    result = house.make(log)

    assert house.profiles.merged == [("user-1", result.masks, "request-1")]


def test_the_same_photo_and_options_have_the_same_key(log: RequestLog) -> None:
    house = House()

    house.make(log)
    house.make(log, photo=fakes.photo())
    assert len(house.store.files) == 1

    house.make(log, profile=Profile.HULL)
    house.make(log, photo=fakes.photo(format="PNG"))
    assert len(house.store.files) == 3


def test_a_given_key_is_used(log: RequestLog) -> None:
    house = House()

    house.make(log, key="standing")

    assert set(house.store.files) == {"standing"}


def test_every_stage_is_a_step_with_a_time(log: RequestLog) -> None:
    House().make(log)

    for name in (
        "download_image",
        "generate_masks",
        "decode_image",
        "find_people",
        "choose_person",
        "parse_person",
        "shape_mask",
        "encode_masks",
        "upload_masks",
        "update_profile",
    ):
        assert (name, "done") in steps(log)
        assert name in log.timings


@pytest.mark.parametrize(
    ("photo", "error"),
    [
        (b"not an image", UnsupportedPhoto),
        (b"", UnsupportedPhoto),
        ("https://example.com/missing.jpg", PhotoFetchFailed),
    ],
)
def test_what_is_no_photo_is_an_error(
    log: RequestLog, photo: str | bytes, error: type[Exception]
) -> None:
    house = House()

    with pytest.raises(error):
        house.make(log, photo=photo)
    assert house.store.files == {}


def test_the_limits_hold(log: RequestLog) -> None:
    with pytest.raises(PhotoTooLarge):
        House(max_bytes=1000).make(log)
    with pytest.raises(PhotoTooLarge):
        House(max_pixels=1000).make(log)


def test_half_a_store_is_an_error(log: RequestLog) -> None:
    house = House()
    house.store.failing = "lower"

    with pytest.raises(StoreFailed, match="lower"):
        house.make(log)
    assert house.profiles.merged == []


@pytest.mark.parametrize("masks", [(), (MaskKind.UPPER, MaskKind.UPPER)])
def test_options_name_each_mask_once(masks: tuple[MaskKind, ...]) -> None:
    with pytest.raises(InvalidRequest):
        MaskOptions(masks=masks)


def test_the_same_request_is_served_once_and_answered_the_same(log: RequestLog) -> None:
    house = House(idempotency=fakes.FakeIdempotency())

    first, second = house.make(log), house.make(log)

    assert second == first
    assert house.vision.parsed == 1
    assert len(house.profiles.merged) == 1


def test_a_refusal_is_remembered_too(log: RequestLog) -> None:
    house = House(fakes.FakeVision(people=0), idempotency=fakes.FakeIdempotency())

    first, second = house.make(log), house.make(log)

    assert second == first
    assert second.status == "refused"
    assert len(house.vision.shown) == 1


def test_another_user_option_or_photo_is_another_request(log: RequestLog) -> None:
    house = House(idempotency=fakes.FakeIdempotency())

    house.make(log)
    house.make(log, user="user-2")
    house.make(log, profile=Profile.HULL)
    house.make(log, masks=(MaskKind.UPPER,))
    house.make(log, photo=fakes.photo(width=600, height=800))

    assert house.vision.parsed == 5


def test_another_photo_behind_the_same_address_is_a_new_one(log: RequestLog) -> None:
    house = House(idempotency=fakes.FakeIdempotency())

    first = house.make(log)
    house.photos.known = {URL: fakes.photo(format="PNG")}
    second = house.make(log)

    assert second.sha256 != first.sha256
    assert second.masks != first.masks
    assert house.vision.parsed == 2


def test_the_same_photo_from_elsewhere_is_the_same(log: RequestLog) -> None:
    house = House(idempotency=fakes.FakeIdempotency())

    assert house.make(log) == house.make(log, photo=fakes.photo())
    assert house.vision.parsed == 1


def test_what_is_being_made_is_not_made_beside_it(log: RequestLog) -> None:
    idempotency = fakes.FakeIdempotency()
    house = House(idempotency=idempotency)
    house.make(log)
    idempotency.busy = set(idempotency.asked)

    with pytest.raises(InProgress):
        house.make(log)

    assert house.vision.parsed == 1
    assert steps(log)[-1] == ("make_once", "refused")


def test_what_could_not_be_stored_is_made_again(log: RequestLog) -> None:
    house = House(idempotency=fakes.FakeIdempotency())
    house.store.failing = "upper"
    with pytest.raises(StoreFailed):
        house.make(log)
    house.store.failing = None

    assert house.make(log).status == "success"


class Clock:
    """Stands still, until somebody takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(deadline, "clock", stopped)
    return stopped


class SlowPhotos(fakes.FakePhotos):
    """Takes ``seconds``, and notes how many it had."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__({URL: fakes.photo()})
        self.clock = clock
        self.seconds = seconds
        self.had: list[float] = []

    def fetch(self, address: str) -> bytes:
        self.had.append(deadline.time_left())
        self.clock.now += self.seconds
        return super().fetch(address)


class SlowVision(fakes.FakeVision):
    """Takes ``seconds``."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = seconds

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        self.clock.now += self.seconds
        return super().find_people(rgb)


def slow_house(clock: Clock, *, fetch: float, see: float) -> House:
    """A service that knows of 10 s for a photo; with 12 s for the rest it needs 22."""
    return House(SlowVision(clock, see), photo_time_s=10.0, photos=SlowPhotos(clock, fetch))


@pytest.mark.parametrize(
    ("seconds", "fetch", "see", "fetched", "seen"),
    [
        (21.9, 0, 0, False, False),
        (29.0, 7.1, 0, True, False),
        (29.0, 5.0, 15.1, True, True),
    ],
)
def test_what_cannot_be_finished_is_not_begun(
    log: RequestLog,
    clock: Clock,
    seconds: float,
    fetch: float,
    see: float,
    fetched: bool,
    seen: bool,
) -> None:
    house = slow_house(clock, fetch=fetch, see=see)

    with deadline.time_limit(seconds), pytest.raises(OutOfTime):
        house.make(log)

    assert bool(house.photos.asked) is fetched
    assert bool(house.vision.shown) is seen
    assert house.store.files == {}


def test_what_can_be_finished_is(log: RequestLog, clock: Clock) -> None:
    house = slow_house(clock, fetch=7.0, see=10.0)

    with deadline.time_limit(29):
        assert house.make(log).status == "success"


def test_a_download_leaves_time_for_the_rest(log: RequestLog, clock: Clock) -> None:
    house = slow_house(clock, fetch=0, see=0)

    with deadline.time_limit(29):
        house.make(log)

    assert cast(SlowPhotos, house.photos).had == [7.0]


def test_outputs_are_stored_beside_the_masks_on_their_grid(log: RequestLog) -> None:
    house = House()

    result = house.make(log, masks=(MaskKind.UPPER,), outputs=tuple(Output), max_side=200)

    ((key, files),) = house.store.files.items()
    assert result.outputs == {
        name: f"https://masks.example.com/{key}/{name}.png"
        for name in (
            "upper_agnostic",
            "upper_agnostic_rgba",
            "parse_lip",
            "parse_atr",
            "parse_viton_hd",
            "skeleton",
        )
    }
    assert files.keys() == {"upper", *result.outputs}
    upper, grey = pixels(files["upper"]), pixels(files["upper_agnostic"])
    assert grey.shape == (200, 150, 3)
    assert (grey[upper == 255] == 128).mean() > 0.98
    assert pixels(files["upper_agnostic_rgba"]).shape == (200, 150, 4)
    assert pixels(files["parse_lip"]).shape == (200, 150)
    assert result.keypoints is not None
    assert result.keypoints["named"]["keypoints"]["nose"][:2] == [75, 27.5]
    assert len(result.keypoints["body_25"]["people"][0]["pose_keypoints_2d"]) == 75


def test_a_targets_files_are_stored_by_the_paths_that_it_reads(log: RequestLog) -> None:
    house = House()

    result = house.make(log, key="anna", target=TargetName.OOTDIFFUSION)

    assert result.targets.keys() == {"upper", "lower"}
    lower = result.targets["lower"]
    assert lower.files.keys() == {"image", "mask", "agnostic"}
    assert lower.files["mask"].endswith("/anna/ootdiffusion_lower/mask.png")
    assert lower.about["category"] == "lowerbody"
    assert lower.about["transform"]["photo"] == [fakes.WIDTH, fakes.HEIGHT]
    assert pixels(house.store.files["anna"]["ootdiffusion_lower/mask"]).shape == (1024, 768)


def test_a_mask_that_the_targets_cut_cannot_hold_is_refused(log: RequestLog) -> None:
    house = House()
    # The figure, stretched so wide that no cut of 3:4 holds its arms.
    house.photos.known = {URL: fakes.photo(width=900, height=400)}

    result = house.make(log, masks=(MaskKind.UPPER,), target=TargetName.CATVTON)

    assert result.status == "refused"
    assert [(one.mask, one.code) for one in result.refused] == [("upper", "CROP_CUTS_MASK")]
    assert (result.masks, result.targets, house.store.files) == ({}, {}, {})


def test_kinds_that_a_target_does_not_take_are_no_options() -> None:
    with pytest.raises(InvalidRequest, match=r"stableviton takes .* only: upper"):
        MaskOptions(target=TargetName.STABLEVITON)


def test_masks_alone_keep_their_addresses(log: RequestLog) -> None:
    house = House()

    plain = house.make(log).masks["upper"]

    assert house.make(log, outputs=()).masks["upper"] == plain
    assert house.make(log, outputs=(Output.SKELETON,)).masks["upper"] != plain
    assert house.make(log, target=TargetName.LEFFA).masks["upper"] != plain


def test_without_a_mask_there_are_no_outputs(log: RequestLog) -> None:
    house = House(fakes.FakeVision(people=0))

    result = house.make(log, outputs=tuple(Output), target=TargetName.LEFFA)

    assert result.status == "refused"
    assert (result.outputs, result.keypoints, result.targets) == ({}, None, {})
    assert house.store.files == {}
