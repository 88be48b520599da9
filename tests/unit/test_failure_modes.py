"""What mask code is known to get wrong, one test each."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests import fakes, figures
from tests.figures import make_mask

from tryon_masks.domain import fitness
from tryon_masks.domain.errors import Refusal, UpperNotVisible
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.parts import BoolMask, Part, where
from tryon_masks.domain.person import Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.images import Limits
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult, MaskService
from tryon_masks.telemetry import request_log

T = fakes.TORSO
TRY_ON = (MaskKind.UPPER, MaskKind.LOWER, MaskKind.FULL)

profile = pytest.mark.parametrize("profile", Profile)
clothes = pytest.mark.parametrize(
    "parts",
    [fakes.part_map(), figures.in_a_long_dress(), figures.bare_legged()],
    ids=["trousers", "long dress", "shorts"],
)


def mask(person: Person, kind: MaskKind, profile: Profile = Profile.BODY) -> BoolMask:
    return make_mask(person, kind, profile, Expand()).pixels


def made(
    data: bytes, vision: fakes.FakeVision, **options: Any
) -> tuple[MaskResult, dict[str, NDArray[np.uint8]]]:
    """What the service makes of a photo file: its answer, and the mask files' pixels."""
    store = fakes.FakeStore()
    service = MaskService(vision, store, fakes.FakePhotos(), limits=Limits())
    with request_log("request-1", "user-1") as log:
        result = service.make(MaskRequest(data, "user-1", MaskOptions(**options)), log)
    files = {name: file for saved in store.files.values() for name, file in saved.items()}
    return result, {
        name: np.asarray(Image.open(io.BytesIO(file.data))) for name, file in files.items()
    }


def corners(pixels: BoolMask, side: int = 40) -> int:
    """Mask pixels in the photo's four corners."""
    return sum(
        int(pixels[rows, columns].sum())
        for rows in (slice(side), slice(-side, None))
        for columns in (slice(side), slice(-side, None))
    )


# A joint is lost


@profile
@clothes
@pytest.mark.parametrize("hip", ["left_hip", "right_hip"])
def test_one_hip_lost_does_not_send_the_mask_to_the_top(
    hip: str, parts: NDArray[np.uint8], profile: Profile
) -> None:
    whole, hurt = figures.person(parts), figures.person(parts, lost=[hip])

    for kind in TRY_ON:
        before, after = mask(whole, kind, profile), mask(hurt, kind, profile)
        assert abs(before.any(1).argmax() - after.any(1).argmax()) < 0.35 * T
        assert figures.overlap(before, after) > 0.75
        assert corners(after) == 0


@profile
@pytest.mark.parametrize(
    "lost",
    [
        ["left_elbow"],
        ["right_elbow"],
        ["left_wrist"],
        ["right_wrist"],
        ["left_elbow", "right_wrist"],
        ["left_wrist", "left_index", "left_pinky"],
    ],
    ids=" and ".join,
)
def test_one_elbow_or_wrist_lost_does_not_send_the_arm_to_a_corner(
    lost: Iterable[str], profile: Profile
) -> None:
    whole, hurt = figures.person(), figures.person(lost=lost)

    for kind in (*TRY_ON, MaskKind.ARMS):
        before, after = mask(whole, kind, profile), mask(hurt, kind, profile)
        assert (after <= before).all()
        assert corners(after) == 0


@pytest.mark.parametrize("shoulder", ["left_shoulder", "right_shoulder"])
def test_one_shoulder_lost_is_refused(shoulder: str) -> None:
    with pytest.raises(UpperNotVisible):
        fitness.choose([fakes.candidate(without=frozenset({shoulder}))], fakes.HEIGHT)


# A joint lies outside


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
@pytest.mark.parametrize(
    "frame",
    [(101, 0, 300, 400), (0, 0, 199, 400), (0, 60, 300, 400), (0, 0, 300, 300)],
    ids=["left", "right", "top", "bottom"],
)
def test_a_photo_that_cuts_a_limb_gives_the_mask_cut_the_same_way(
    frame: tuple[int, int, int, int], profile: Profile
) -> None:
    x0, y0, x1, y1 = frame
    whole = figures.person()
    cut = figures.cropped(whole, *frame)

    for kind in TRY_ON:
        wanted = mask(whole, kind, profile)[y0:y1, x0:x1]
        assert figures.overlap(mask(cut, kind, profile), wanted) > 0.97


@profile
@pytest.mark.parametrize("arm_end", [(-90.0, 150.0), (-400.0, -30.0)])
def test_a_wrist_off_the_left_edge_does_not_come_back_on_the_right(
    arm_end: tuple[float, float], profile: Profile
) -> None:
    """The right arm reaches out of the photo."""
    parts = fakes.part_map()
    parts[where(parts, {Part.RIGHT_ARM, Part.RIGHT_HAND})] = Part.BACKGROUND
    cv2.line(parts, (104, 160), (0, 156), int(Part.RIGHT_ARM), 16)
    person = figures.person(
        parts,
        lost=["right_index", "right_pinky"],
        moved={"right_wrist": arm_end},
    )

    for kind in TRY_ON:
        assert not mask(person, kind, profile)[:, 230:].any()
    upper = mask(person, MaskKind.UPPER, profile)
    assert upper[157, 0]
    assert not upper[240:].any()


@profile
def test_a_wrist_off_the_top_edge_does_not_come_back_at_the_bottom(profile: Profile) -> None:
    """The left arm reaches up, out of the photo."""
    parts = fakes.part_map()
    parts[where(parts, {Part.LEFT_ARM, Part.LEFT_HAND})] = Part.BACKGROUND
    cv2.line(parts, (186, 112), (206, 60), int(Part.TOP), 22)
    cv2.line(parts, (206, 60), (208, 0), int(Part.LEFT_ARM), 16)
    person = figures.person(
        parts,
        lost=["left_index", "left_pinky"],
        moved={"left_elbow": (206.0, 60.0), "left_wrist": (211.0, -60.0)},
    )

    upper = mask(person, MaskKind.UPPER, profile)

    assert upper[0, 208]
    assert not upper[240:].any()
    assert not upper[:, 250:].any()


# The clothes


@pytest.mark.parametrize("profile", [Profile.BODY, Profile.TIGHT])
def test_a_floor_length_dress_is_parted_at_the_hips(profile: Profile) -> None:
    parts = figures.in_a_long_dress()
    person = figures.person(parts)
    dress = parts == Part.DRESS

    upper, lower = (mask(person, kind, profile) for kind in (MaskKind.UPPER, MaskKind.LOWER))

    assert lower.any()
    assert not (upper & lower & dress).any()
    for one in (upper, lower):
        assert (one & dress).sum() < 0.8 * dress.sum()
    assert (upper | lower)[dress].all()
    assert upper[: figures.HIP_LINE][dress[: figures.HIP_LINE]].all()
    assert lower[figures.HIP_LINE + 1 :][dress[figures.HIP_LINE + 1 :]].all()
    assert (mask(person, MaskKind.FULL, profile) >= dress).all()


@pytest.mark.parametrize("profile", [Profile.HULL, Profile.BOX])
def test_a_floor_length_dress_is_whole_where_the_models_repaint_it_whole(profile: Profile) -> None:
    parts = figures.in_a_long_dress()
    dress = parts == Part.DRESS

    for kind in TRY_ON:
        assert (mask(figures.person(parts), kind, profile) >= dress).all()


@profile
@pytest.mark.parametrize(
    "expand", [Expand(), Expand(bottom=0.5), Expand(left=0.3, right=0.3)], ids=str
)
@clothes
def test_shoes_are_never_in_the_lower_mask(
    parts: NDArray[np.uint8], expand: Expand, profile: Profile
) -> None:
    shoes = where(parts, {Part.LEFT_SHOE, Part.RIGHT_SHOE})
    assert shoes.any()

    for kind in (MaskKind.LOWER, MaskKind.FULL, MaskKind.LEGS, MaskKind.UPPER):
        try:
            made = make_mask(figures.person(parts), kind, profile, expand)
        except Refusal:
            assert kind is MaskKind.LEGS
            continue
        if kind is MaskKind.UPPER and profile is Profile.BOX and (parts == Part.DRESS).any():
            continue  # the rectangle about a whole dress leaves out the head alone
        assert not (made.pixels & shoes).any()


# Who is who


@profile
def test_on_a_back_view_left_and_right_do_not_matter(profile: Profile) -> None:
    front = figures.person(figures.bare_legged())
    back = figures.swapped(front)

    for kind in MaskKind:
        assert (mask(back, kind, profile) == mask(front, kind, profile)).all(), kind


@profile
def test_when_only_the_pose_confuses_left_and_right_hands_are_still_no_arms(
    profile: Profile,
) -> None:
    parts = fakes.part_map()
    skeleton = figures.swapped(figures.person()).skeleton
    confused = Person(fakes.BOX, 0.9, skeleton, parts, np.ones(parts.shape, np.float32))

    for kind in (*TRY_ON, MaskKind.ARMS, MaskKind.HANDS):
        assert (mask(confused, kind, profile) == mask(figures.person(), kind, profile)).all()


def test_nobody_in_the_photo_gives_no_mask() -> None:
    result, files = made(fakes.photo(), fakes.FakeVision(0), masks=tuple(MaskKind))

    assert result.status == "refused"
    assert {(one.mask, one.code) for one in result.refused} == {
        (kind.value, "NO_PERSON") for kind in MaskKind
    }
    assert (files, result.masks) == ({}, {})


@profile
@pytest.mark.parametrize("expand", [Expand(), Expand(0.3, 0.3, 0.3, 0.3)], ids=["plain", "wide"])
def test_a_second_persons_arm_and_shirt_are_never_in_the_mask(
    expand: Expand, profile: Profile
) -> None:
    parts = figures.with_a_second_person()
    other = parts == Part.OTHER_PERSON

    for kind in set(MaskKind) - {MaskKind.PROTECT, MaskKind.LEGS}:
        pixels = make_mask(figures.person(parts), kind, profile, expand).pixels
        assert not (pixels & other).any(), kind
    assert mask(figures.person(parts), MaskKind.PROTECT, profile)[other].all()


def test_a_second_persons_arm_survives_the_way_to_the_file() -> None:
    parts = figures.with_a_second_person()

    _, files = made(fakes.photo(), fakes.FakeVision(parts=parts))

    for file in files.values():
        assert not file[parts == Part.OTHER_PERSON].any()


# The photo's size and orientation


def turned(orientation: int) -> bytes:
    """The figure as a camera held that way saves it: pixels turned, a tag to turn them back."""
    upright = Image.open(io.BytesIO(fakes.photo(format="PNG"))).convert("RGB")
    turn = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }[orientation]
    image = upright
    for one in turn:
        image = image.transpose(one)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, exif=exif)
    # Another reader of the tag agrees that this is the figure.
    again = ImageOps.exif_transpose(Image.open(file))
    assert np.abs(np.asarray(again, float) - np.asarray(upright, float)).mean() < 3
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_with_an_orientation_tag_is_seen_and_masked_upright(orientation: int) -> None:
    vision = fakes.FakeVision()
    upright = np.asarray(Image.open(io.BytesIO(fakes.photo(format="PNG"))), float)

    result, files = made(turned(orientation), vision)

    assert (result.width, result.height) == (fakes.WIDTH, fakes.HEIGHT)
    for rgb in vision.shown:
        assert np.abs(rgb - upright).mean() < 3
    for kind in (MaskKind.UPPER, MaskKind.LOWER):
        assert ((files[kind] == 255) == mask(figures.person(), kind)).all()


@profile
def test_the_same_person_at_twice_the_size_gets_the_same_mask(profile: Profile) -> None:
    small = figures.enlarged(figures.person(figures.in_a_long_dress()), 2)
    large = figures.enlarged(small, 2)

    for kind in TRY_ON:
        expected = mask(small, kind, profile).repeat(2, 0).repeat(2, 1)
        assert figures.overlap(mask(large, kind, profile), expected) > 0.97


@profile
@pytest.mark.parametrize("factor", [2, 4])
def test_the_same_photo_at_twice_the_size_gets_the_same_mask(factor: int, profile: Profile) -> None:
    """The larger one of two, and both of four, lie beyond the working size."""
    width, height = 2 * fakes.WIDTH, 2 * fakes.HEIGHT
    _, small = made(fakes.photo(width=width, height=height), fakes.FakeVision(), profile=profile)
    large_photo = fakes.photo(width=factor * width, height=factor * height)
    _, large = made(large_photo, fakes.FakeVision(), profile=profile)

    for kind in ("upper", "lower"):
        assert large[kind].shape == (factor * height, factor * width)
        shrunk = cv2.resize(large[kind], (width, height), interpolation=cv2.INTER_AREA)
        assert figures.overlap(np.asarray(shrunk) > 127, small[kind] > 127) > 0.97


@pytest.mark.parametrize(
    ("width", "height", "profile"),
    [
        *((*size, one) for size in ((301, 401), (307, 409), (298, 397)) for one in Profile),
        (701, 937, Profile.BODY),
        (1117, 1490, Profile.BODY),
    ],
)
def test_odd_and_prime_sizes_fit(width: int, height: int, profile: Profile) -> None:
    vision = fakes.FakeVision(parts=figures.bare_legged())

    result, files = made(
        fakes.photo(width=width, height=height), vision, masks=tuple(MaskKind), profile=profile
    )

    assert result.refused == []
    assert set(files) == set(MaskKind)
    for file in files.values():
        assert file.shape == (height, width)
        assert set(np.unique(file)) == {0, 255}


def test_a_12_megapixel_photo_never_becomes_full_size_class_planes() -> None:
    width, height = 3024, 4032
    data = fakes.photo(width=width, height=height)
    vision = fakes.FakeVision()
    result, files = made(fakes.photo(), vision)

    tracemalloc.start()
    try:
        result, files = made(data, vision)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert result.status == "success"
    assert {file.shape for file in files.values()} == {(height, width)}
    for rgb in vision.shown:
        assert max(rgb.shape) <= Limits().working_side
    # The two masks themselves are two bytes a pixel; 26 planes of floats would be 104.
    assert peak < 8 * width * height
