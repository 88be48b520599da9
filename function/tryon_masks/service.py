"""The one use case: a photo in, stored masks out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from tryon_masks import images
from tryon_masks.deadline import require_time, time_left, time_limit
from tryon_masks.domain import fitness
from tryon_masks.domain.errors import InvalidRequest, NoPerson, Refusal, SeveralPeople
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.masks import Mask, MaskShaper
from tryon_masks.domain.parts import BoolMask
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.images import Edge, FileFormat
from tryon_masks.outputs.extra import Output, keypoints, output_files
from tryon_masks.outputs.parsed_photo import ParsedPhoto
from tryon_masks.outputs.targets import TargetFiles, TargetName, not_taken, target_files
from tryon_masks.ports import (
    EncodedImage,
    Idempotency,
    MaskStore,
    PhotoSource,
    UserProfiles,
    Vision,
    user_folder,
)
from tryon_masks.telemetry import RequestLog, count, step

OVERLAY = "overlay"
NAME_DIGITS = 12
"""Hexadecimal digits of a photo's digest that name it in a target's files where it has no name."""
ENCODERS = 2
"""Mask files written at a time: of a large photo, one takes as long as a model."""

STORE_S = 3.0
"""Seconds without which masks are not begun to be stored."""
ANSWER_S = 9.0
"""Seconds kept back for what comes after the masks: what was made, the profile, the records."""

MASK_RULES = "11"
"""Part of every storage key: raise it when the same photo must get new addresses."""


Status = Literal["success", "partial", "refused"]
"""All masks were made, some, or none."""
PersonChoice = Literal["largest"]


@dataclass(frozen=True)
class MaskOptions:
    """What the caller may choose.

    ``person_box`` is in pixels of the upright photo; ``max_side`` bounds the longer side of the
    mask files in pixels (None: the photo's own grid). ``outputs`` are made beside the masks, on
    their grid; ``target`` is the model whose files are made beside them.
    """

    masks: tuple[MaskKind, ...] = (MaskKind.UPPER, MaskKind.LOWER)
    profile: Profile = Profile.BODY
    expand: Expand = field(default_factory=Expand)
    format: FileFormat = "png"
    edge: Edge = "hard"
    max_side: int | None = None
    person: PersonChoice | None = None
    person_box: Box | None = None
    overlay: bool = False
    outputs: tuple[Output, ...] = ()
    target: TargetName | None = None

    def __post_init__(self) -> None:
        if not self.masks or len(set(self.masks)) != len(self.masks):
            raise InvalidRequest("masks must name at least one kind, each once.")
        if self.target is not None and (why := not_taken(self.target, self.masks)):
            raise InvalidRequest(f"{why}.")

    @property
    def needs_parsed_photo(self) -> bool:
        """Return whether anything is made of the photo's own pixels, beside an overlay."""
        return bool(self.outputs) or self.target is not None


@dataclass(frozen=True)
class MaskRequest:
    """One photo: its address, or its bytes. ``store_key`` names the files; None: by user
    and content.
    """

    photo: str | bytes
    user_id: str
    options: MaskOptions = field(default_factory=MaskOptions)
    store_key: str | None = None


@dataclass(frozen=True)
class RefusedMask:
    """Why one mask was not made. ``code`` is one of masks' refusal codes."""

    mask: str
    code: str
    message: str


@dataclass(frozen=True)
class Quality:
    """``coverage``: share of the frame that is masked, 0 to 1. ``confidence``: 0 to 1."""

    coverage: float
    confidence: float


@dataclass(frozen=True)
class TargetResult:
    """One model's files for one mask: path -> address. ``about``: see :meth:`TargetFiles.about`."""

    about: dict[str, Any]
    files: dict[str, str]


@dataclass(frozen=True)
class MaskResult:
    """What came of one request.

    ``status`` is success (all made), partial (some refused) or refused (none made). ``overlay`` is
    an address. ``person`` is None when nobody could be chosen. ``people`` is everybody to choose
    from, largest box first, where the caller has to choose, and empty otherwise. Boxes are in
    pixels of the photo.
    ``outputs`` are addresses by name, ``keypoints`` JSON values, ``targets`` by kind of mask.
    """

    status: Status
    masks: dict[str, str]
    overlay: str | None
    quality: dict[str, Quality]
    refused: list[RefusedMask]
    width: int
    height: int
    sha256: str
    person: Candidate | None
    people: list[Candidate]
    people_found: int
    model_set: str
    outputs: dict[str, str] = field(default_factory=dict)
    keypoints: dict[str, Any] | None = None
    targets: dict[str, TargetResult] = field(default_factory=dict)


class _Once:
    """Has a request's result made once; whoever asks again gets the one that was kept."""

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        # Here, because it is slow to build and the command line has no use for it.
        self._record = TypeAdapter(MaskResult)

    def run(self, key: str, make: Callable[[], MaskResult]) -> MaskResult:
        """Return what was kept under ``key``, or what ``make`` returns, as JSON keeps it."""

        def work() -> dict[str, Any]:
            kept: dict[str, Any] = self._record.dump_python(make(), mode="json")
            return kept

        return self._record.validate_python(self._idempotency.run(key, work))


class MaskService:
    """Made once in the init phase; :meth:`make` serves every request.

    ``limits`` name the grid that ``vision`` works on. Without ``idempotency`` the same request
    makes the same masks again. ``photo_time_s`` is how long seeing and shaping one photo can take,
    in seconds: with less left they are not begun.
    """

    def __init__(
        self,
        vision: Vision,
        store: MaskStore,
        photos: PhotoSource,
        profiles: UserProfiles | None = None,
        *,
        limits: images.Limits,
        idempotency: Idempotency | None = None,
        photo_time_s: float = 0.0,
    ) -> None:
        self.vision = vision
        self._store = store
        self._photos = photos
        self._profiles = profiles
        self._limits = limits
        self._once = None if idempotency is None else _Once(idempotency)
        self._photo_time_s = photo_time_s

    def make(self, request: MaskRequest, log: RequestLog) -> MaskResult:
        """Fetch one photo, make its masks and store them.

        Refusals are answers, in the result, not exceptions.

        Parameters
        ----------
        request
            The photo, whose it is, and what was chosen.
        log
            The request's log, already open.

        Raises
        ------
        BadRequest, InProgress, Unavailable
        """
        work_s = self._photo_time_s + STORE_S + ANSWER_S
        with step("download_image", "intake"):
            require_time(work_s)
            with time_limit(time_left() - work_s):
                data = self._fetch(request.photo)
        # Of the bytes and not of the address, behind which there may be another photo by now.
        sha256 = hashlib.sha256(data).hexdigest()
        if self._once is None:
            return self._make(request, data, sha256, log)
        with step("make_once", "once"):
            what = [request.store_key, *self._what(sha256, request.options)]
            key = _in_folder(request.user_id, what)
            return self._once.run(key, lambda: self._make(request, data, sha256, log))

    def _make(self, request: MaskRequest, data: bytes, sha256: str, log: RequestLog) -> MaskResult:
        options = request.options
        with step("generate_masks", "service"):
            require_time(self._photo_time_s + STORE_S + ANSWER_S)
            with step("decode_image", "intake"):
                photo = images.decode(data, self._limits)
            analysis = analyse_photo(self.vision, photo, options)
            made, refused = shape_masks(analysis, options)
            extras = _Extras()
            if made and analysis.person is not None and options.needs_parsed_photo:
                with step("make_outputs", "outputs"):
                    parsed = ParsedPhoto(self._whole(data), analysis.person)
                    name = (request.store_key or sha256[:NAME_DIGITS]).rpartition("/")[2]
                    made, unfit, extras = _extras(parsed, made, options, name)
                    refused = refused + unfit
            with step("encode_masks", "images"):
                files, quality = _encode(photo, made, options)
                files |= extras.files
        addresses: dict[str, str] = {}
        if made:
            with step("upload_masks", "store"):
                what = self._what(sha256, options)
                key = request.store_key or _in_folder(request.user_id, what)
                require_time(STORE_S + ANSWER_S)
                with time_limit(time_left() - ANSWER_S):
                    addresses = self._store.save(key, files)
            count("MasksMade", len(made))
        masks = {mask.kind.value: addresses[mask.kind] for mask in made}
        if masks and self._profiles is not None:
            with step("update_profile", "profiles"):
                self._profiles.merge_masks(request.user_id, masks, log.request_id)
        return MaskResult(
            status=status_of(made, refused),
            masks=masks,
            overlay=addresses.get(OVERLAY),
            quality=quality,
            refused=refused,
            width=photo.width,
            height=photo.height,
            sha256=sha256,
            person=analysis.chosen and analysis.chosen.scaled(photo.scale),
            people=[one.scaled(photo.scale) for one in analysis.to_choose_from],
            people_found=len(analysis.people),
            model_set=self.vision.model_set,
            outputs={name: addresses[name] for name in extras.outputs},
            keypoints=extras.keypoints,
            targets={
                kind: TargetResult(about, {path: addresses[name] for path, name in paths.items()})
                for kind, (about, paths) in extras.targets.items()
            },
        )

    def infer(
        self, data: bytes, options: MaskOptions
    ) -> tuple[ParsedPhoto | None, list[Mask], list[RefusedMask]]:
        """Analyse one photo and shape its masks, and store nothing.

        Parameters
        ----------
        data
            The photo's file.
        options
            As for :meth:`make`.

        Returns
        -------
        The parsed photo (None: no mask was made), the masks, and why others were not made.

        Raises
        ------
        BadRequest
            The photo cannot be used.
        """
        with step("generate_masks", "service"):
            with step("decode_image", "intake"):
                photo = images.decode(data, self._limits)
            analysis = analyse_photo(self.vision, photo, options)
            made, refused = shape_masks(analysis, options)
            if not made or analysis.person is None:
                return None, [], refused
            return ParsedPhoto(self._whole(data), analysis.person), made, refused

    def _whole(self, data: bytes) -> NDArray[np.uint8]:
        """Decode the photo in its own size, (height, width, 3)."""
        with step("decode_whole_image", "intake"):
            return images.decode(data, self._limits.whole).rgb

    def _fetch(self, photo: str | bytes) -> bytes:
        return photo if isinstance(photo, bytes) else self._photos.fetch(photo)

    def _what(self, sha256: str, options: MaskOptions) -> list[Any]:
        """Return all that the masks depend on."""
        chosen = asdict(options)
        # Masks alone keep the addresses that they had before there was anything else.
        chosen = {k: v for k, v in chosen.items() if k not in ("outputs", "target") or v}
        return [sha256, chosen, self.vision.model_set, MASK_RULES]


def _in_folder(user_id: str, what: list[Any]) -> str:
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{user_folder(user_id)}/{digest[:32]}"


@dataclass(frozen=True)
class PhotoAnalysis:
    """Everybody in a photo, and either a parsed person or the refusal that speaks for every mask.

    All on the working grid; ``people`` largest first.
    """

    people: Sequence[Candidate]
    chosen: Candidate | None = None
    person: Person | None = None
    to_choose_from: Sequence[Candidate] = ()
    refusal: Refusal | None = None


def analyse_photo(vision: Vision, photo: images.Photo, options: MaskOptions) -> PhotoAnalysis:
    """Run the models: find everybody, choose one, parse this one."""
    with step("find_people", "vision"):
        people = vision.find_people(photo.rgb)
    try:
        with step("choose_person", "fitness"):
            box = options.person_box and options.person_box.scaled(1 / photo.scale)
            chosen = fitness.choose(
                people,
                photo.rgb.shape[0],
                photo_px_per_px=photo.scale,
                largest=options.person == "largest",
                box=box,
            )
    except Refusal as refusal:
        several = people if isinstance(refusal, SeveralPeople) else []
        return PhotoAnalysis(people, to_choose_from=several, refusal=refusal)
    with step("parse_person", "vision"):
        others = [other for other in people if other is not chosen]
        person = vision.parse(photo.rgb, chosen, others)
    return PhotoAnalysis(people, chosen, person)


def shape_masks(
    analysis: PhotoAnalysis, options: MaskOptions
) -> tuple[list[Mask], list[RefusedMask]]:
    """Shape every mask that was asked for, or say why it is not made. No model runs."""
    made: list[Mask] = []
    refused: list[RefusedMask] = []
    shaper = mask_shaper(analysis, options)
    for kind in options.masks:
        try:
            made.append(shape_mask(analysis, kind, shaper))
        except Refusal as refusal:
            refused.append(_refused(kind, refusal))
    return made, refused


def mask_shaper(analysis: PhotoAnalysis, options: MaskOptions) -> MaskShaper | None:
    """Return what shapes the masks of the chosen person; None where nobody could be chosen."""
    if analysis.person is None:
        return None
    return MaskShaper(analysis.person, options.profile, options.expand)


def shape_mask(analysis: PhotoAnalysis, kind: MaskKind, shaper: MaskShaper | None) -> Mask:
    """Shape one mask.

    Raises
    ------
    Refusal
    """
    with step("shape_mask", "masks", mask=kind.value):
        if shaper is None:
            raise analysis.refusal or NoPerson
        return shaper.make(kind)


def _refused(kind: MaskKind, refusal: Refusal) -> RefusedMask:
    """Count a refusal, and say it for the answer."""
    count("MasksRefused", code=refusal.code)
    return RefusedMask(kind.value, refusal.code, str(refusal))


@dataclass(frozen=True)
class _Extras:
    """What is made beside the masks; ``targets``: kind -> about, and path -> name in ``files``."""

    files: dict[str, EncodedImage] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    keypoints: dict[str, Any] | None = None
    targets: dict[str, tuple[dict[str, Any], dict[str, str]]] = field(default_factory=dict)


def _extras(
    parsed: ParsedPhoto, made: Sequence[Mask], options: MaskOptions, name: str
) -> tuple[list[Mask], list[RefusedMask], _Extras]:
    """Make the target's files and the outputs: masks that the target cannot take are refused."""
    fit: list[Mask] = []
    refused: list[RefusedMask] = []
    sets: list[TargetFiles] = []
    for mask in made:
        try:
            if options.target is not None:
                with step("draw_target", "outputs", mask=mask.kind.value):
                    sets.append(target_files(parsed, mask, options.target, name))
            fit.append(mask)
        except Refusal as refusal:
            refused.append(_refused(mask.kind, refusal))
    if not fit:
        return fit, refused, _Extras()
    height, width = parsed.rgb.shape[:2]
    size = images.Photo(parsed.rgb, width, height).output_size(options.max_side)
    files = output_files(parsed, fit, options.outputs, size)
    extras = _Extras(
        files,
        list(files),
        keypoints(parsed, size) if Output.KEYPOINTS in options.outputs else None,
    )
    for one in sets:
        paths = {path: f"{options.target}_{one.kind}/{path}" for path in one.files}
        files |= {paths[path]: file for path, file in one.files.items()}
        extras.targets[one.kind.value] = one.about(), paths
    return fit, refused, extras


def _encode(
    photo: images.Photo, made: Sequence[Mask], options: MaskOptions
) -> tuple[dict[str, EncodedImage], dict[str, Quality]]:
    size = photo.output_size(options.max_side)

    def file(mask: Mask) -> EncodedImage:
        return images.encode_mask(images.to_grid(mask.pixels, size, options.edge), options.format)

    with ThreadPoolExecutor(ENCODERS) as pool:
        files = dict(zip([mask.kind.value for mask in made], pool.map(file, made), strict=True))
    if options.overlay and made:
        files[OVERLAY] = images.overlay(photo.rgb, {m.kind.value: m.pixels for m in made})
    return files, quality_of(made)


def status_of(made: Sequence[Mask], refused: Sequence[RefusedMask]) -> Status:
    """Return what came of all masks together."""
    return "refused" if not made else "partial" if refused else "success"


def quality_of(made: Sequence[Mask]) -> dict[str, Quality]:
    """Return how much of the frame each mask covers, and its confidence."""
    return {mask.kind.value: Quality(_share(mask.pixels), mask.confidence) for mask in made}


def _share(pixels: BoolMask) -> float:
    return int(np.count_nonzero(pixels)) / pixels.size
