"""What callers send and what they get: one set of models for the API, the worker and the CLI."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    EncodedBytes,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from tryon_masks.domain.errors import InvalidRequest, TryonMasksError
from tryon_masks.domain.masks import MaskKind
from tryon_masks.domain.person import Box
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.ports import Batch, Job, JobState
from tryon_masks.service import MaskOptions, MaskRequest, MaskResult
from tryon_masks.telemetry import RequestLog

DOCUMENT_KEY = "userImageUrl"
USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,127}")
"""It becomes part of document paths, hence no slash, and no dot or underscore in front."""

UserId = Annotated[StrictStr, Field(pattern=f"^{USER_ID.pattern}$")]

# Spelled out: what counts as white space differs from one regex dialect to the next.
CallbackUrl = Annotated[StrictStr, Field(pattern=r"^https://[!-.0-~]+(/[!-~]*)?$", max_length=2048)]

ItemId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]

PROBLEMS_SHOWN = 10


def _without_fraction(value: object) -> object:
    """In JSON 64.0 is the whole number 64, and some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Side = Annotated[StrictInt, Field(ge=64, le=8192), BeforeValidator(_without_fraction)]
Margin = Annotated[float, Field(strict=True, ge=0, le=1)]
Pixels = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Address = Annotated[StrictStr, Field(min_length=1, max_length=4096)]


class _StrictBase64:
    """Pydantic's own encoder skips characters that are not base64; here they are an error."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        return base64.b64decode(data, validate=True)

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        return "base64"


class ExpandBody(BaseModel):
    """A margin on top of the profile's own, a side each, as fractions of the torso length."""

    model_config = ConfigDict(extra="forbid")

    top: Margin = 0.0
    bottom: Margin = 0.0
    left: Margin = 0.0
    right: Margin = 0.0


class OptionsBody(BaseModel):
    """What may be chosen about the masks, wherever the photo comes from."""

    model_config = ConfigDict(extra="forbid")

    masks: list[MaskKind] = Field(
        default=[MaskKind.UPPER, MaskKind.LOWER],
        min_length=1,
        description="The kinds to make, each once.",
        json_schema_extra={"uniqueItems": True},
    )
    profile: Profile = Field(
        default=Profile.BODY, description="The mask shape that the try-on model was trained on."
    )
    expand: ExpandBody = Field(default_factory=ExpandBody)
    format: Literal["png", "webp"] = "png"
    edge: Literal["hard", "soft"] = Field(
        default="hard", description="hard: 0 and 255 only. soft: an antialiased contour."
    )
    max_side: Side | None = Field(
        default=None,
        description="Bound of the mask files' longer side in pixels; without it the photo's size.",
    )
    person: Literal["largest"] | None = Field(
        default=None, description="Take the largest of several people instead of refusing."
    )
    person_box: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = Field(
        default=None,
        description="[x0, y0, x1, y1] around the person meant, in pixels of the upright photo.",
    )
    overlay: StrictBool = Field(
        default=False, description="Also make a picture of the photo with the masks drawn in."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.masks)) != len(self.masks):
            raise ValueError("masks must name each kind once")
        if self.person_box is not None:
            x0, y0, x1, y1 = self.person_box
            if x1 <= x0 or y1 <= y0:
                raise ValueError("person_box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
            if self.person is not None:
                raise ValueError("give person or person_box, not both")
        return self

    def options(self) -> MaskOptions:
        """The same, in the service's terms."""
        return MaskOptions(
            masks=tuple(self.masks),
            profile=self.profile,
            expand=Expand(**self.expand.model_dump()),
            format=self.format,
            edge=self.edge,
            max_side=self.max_side,
            person=self.person,
            person_box=None if self.person_box is None else Box(*self.person_box),
            overlay=self.overlay,
        )


class _CallBody(OptionsBody):
    user_id: UserId | None = Field(
        default=None,
        description="Who asks; without it anonymous. A signed-in caller's token wins over it.",
    )
    include_logs: StrictBool = Field(
        default=False, description="Return the request's log records in the answer."
    )
    callback_url: CallbackUrl | None = Field(
        default=None,
        description="With Prefer: respond-async: https address that the finished job is posted to.",
    )


class MaskRequestBody(_CallBody):
    """One photo, by address or as base64, and what to make of it. Unknown fields are refused."""

    user_image_url: Address | None = Field(
        default=None, description="https address of the photo. Give this or image."
    )
    image: Annotated[bytes, EncodedBytes(encoder=_StrictBase64), Field(min_length=1)] | None = (
        Field(default=None, description="The photo's file as base64, without a data: prefix.")
    )

    @model_validator(mode="after")
    def _one_photo(self) -> Self:
        if (self.user_image_url is None) == (self.image is None):
            raise ValueError("give exactly one of user_image_url, image and userImageUrl")
        return self

    @property
    def photo(self) -> str | bytes:
        """Its address, or its bytes."""
        photo = self.image if self.user_image_url is None else self.user_image_url
        assert photo is not None  # noqa: S101 - one_photo has seen to it
        return photo


PhotoType = Literal[
    "image/jpeg", "image/png", "image/webp", "image/avif", "image/heic", "image/heif"
]


class UploadBody(OptionsBody):
    """A photo that will be uploaded, and what to make of it. Unknown fields are refused."""

    content_type: PhotoType = Field(description="Of the file; S3 takes no other with this form.")
    user_id: UserId | None = Field(
        default=None, description="Whose photo; a signed-in caller's token wins over it."
    )
    callback_url: CallbackUrl | None = Field(
        default=None, description="https address that the job is posted to when done."
    )


MOST_ITEMS = 1000
"""Of a batch in a request's body."""


class ItemBody(OptionsBody):
    """One photo of a batch, and what to make of it. Unknown fields are refused."""

    photo: Address = Field(description="https address of the photo.")
    id: ItemId | None = Field(
        default=None, description="Names the item in the results; without it its place, from 1."
    )
    user_id: UserId | None = Field(
        default=None, description="Whose photo; a signed-in caller's token wins over it."
    )


class BatchBody(BaseModel):
    """Photos to be made masks of later: here, or in a list. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MOST_ITEMS)] | None = Field(
        default=None, description="The photos; each id once. Give this or manifest."
    )
    manifest: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Key of a list in the photo bucket, below manifests/ and the caller's own id: "
        "JSON Lines, each line as an item.",
    )

    @property
    def names(self) -> list[str]:
        """What the items are called in the results."""
        return [item_name(item.id, place) for place, item in enumerate(self.items or ())]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if (self.items is None) == (self.manifest is None):
            raise ValueError("give exactly one of items and manifest")
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError("items must have each id once")
        return self


class DataJson(_CallBody):
    """A whole ``data.json``: ``userImageUrl`` makes it one, and its other keys are its owner's.

    The fields of a plain request are read beside it; only those that would name a second photo are
    refused. Its answer carries a ``Mask`` block to put into the document.
    """

    model_config = ConfigDict(extra="allow")

    photo: Address = Field(alias="userImageUrl", description="https address of the photo.")

    @model_validator(mode="after")
    def _one_photo(self) -> Self:
        if {"user_image_url", "image"} & set(self.model_extra or ()):
            raise ValueError("give exactly one of user_image_url, image and userImageUrl")
        return self


def _which(body: object) -> str:
    return "document" if isinstance(body, Mapping) and DOCUMENT_KEY in body else "request"


Body = Annotated[
    Annotated[MaskRequestBody, Tag("request")] | Annotated[DataJson, Tag("document")],
    Discriminator(_which),
]


def mask_request(body: MaskRequestBody | DataJson, user_id: str) -> MaskRequest:
    """The service's request."""
    return MaskRequest(photo=body.photo, user_id=user_id, options=body.options())


def invalid(problems: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """Pydantic's problems as one error that names the fields and never repeats their values."""
    texts = []
    for problem in problems:
        where = [
            str(part) for part in problem["loc"] if part not in ("body", "request", "document")
        ]
        what = str(problem["msg"]).removeprefix("Value error, ")
        texts.append(f"{'.'.join(where)}: {what}" if where else what)
    shown = "; ".join(texts[:PROBLEMS_SHOWN])
    more = len(texts) - PROBLEMS_SHOWN
    return InvalidRequest(f"{shown}; and {more} more" if more > 0 else shown)


def read_options(given: Mapping[str, Any]) -> MaskOptions:
    """Options from somewhere other than an API body.

    Raises
    ------
    InvalidRequest
    """
    try:
        return OptionsBody.model_validate(given).options()
    except ValidationError as error:
        raise invalid(error.errors()) from error


def read_item(given: object) -> ItemBody:
    """One line of a batch's list.

    Raises
    ------
    InvalidRequest
    """
    try:
        return ItemBody.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors()) from error


def item_name(given: str | None, number: int) -> str:
    """What an item is called in the results: as its caller says, or its place from 1."""
    return given or str(number + 1)


def read_user_id(given: str) -> str:
    """``given``, when it can be a user id.

    Raises
    ------
    InvalidRequest
    """
    if not USER_ID.fullmatch(given):
        raise InvalidRequest(
            "user id: 1 to 128 letters, digits and _.@:+- starting with a letter or digit."
        )
    return given


def photo_of_document(data: bytes) -> str:
    """The photo's address in a ``data.json`` file.

    Raises
    ------
    InvalidRequest
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The document is not JSON in UTF-8.") from error
    photo = document.get(DOCUMENT_KEY) if isinstance(document, dict) else None
    if not isinstance(photo, str) or not photo:
        raise InvalidRequest(f"The document must hold the photo's address under {DOCUMENT_KEY}.")
    return photo


def _absent(value: object) -> bool:
    """An answer's field that does not apply is left out, not null."""
    return value is None


class Timing(BaseModel):
    """Seconds by stage."""

    setup_model_symlinks: float = Field(
        description="Always 0: the models come with the code. Older clients read it."
    )
    download_image: float
    generate_masks: float
    upload_masks: float


class ImageAnswer(BaseModel):
    """The photo, upright."""

    width: int
    height: int
    sha256: str


class PersonAnswer(BaseModel):
    """Who was chosen; ``box`` is [x0, y0, x1, y1] in pixels of the upright photo."""

    box: tuple[float, float, float, float] | None
    score: float | None
    people_found: int


class FoundAnswer(BaseModel):
    """Somebody who may be meant; ``box`` is what ``person_box`` takes."""

    box: tuple[float, float, float, float]
    score: float


class QualityAnswer(BaseModel):
    """``coverage``: share of the frame that is masked. ``confidence``: of the models. 0 to 1."""

    coverage: float
    confidence: float


class RefusedAnswer(BaseModel):
    """Why one mask was not made."""

    mask: str
    code: str
    message: str


class MaskBlock(BaseModel):
    """What belongs under the ``Mask`` key of a ``data.json``."""

    status: str = Field(serialization_alias="Status")
    upper: str | None = Field(serialization_alias="Upper mask URL")
    lower: str | None = Field(serialization_alias="Lower mask URL")


class MaskAnswer(BaseModel):
    """What came of one photo: ``partial`` where some masks were refused, ``refused`` where all."""

    status: Literal["success", "partial", "refused"]
    masks: dict[str, str]
    overlay: str | None = Field(default=None, exclude_if=_absent)
    total_time: float
    timing: Timing
    request_id: str
    model_set: str
    image: ImageAnswer
    person: PersonAnswer
    people: list[FoundAnswer] | None = Field(
        default=None,
        exclude_if=_absent,
        description="Only where SEVERAL_PEOPLE is why masks were refused: everybody, largest box "
        "first. Send one of the boxes as person_box.",
    )
    quality: dict[str, QualityAnswer]
    refused: list[RefusedAnswer]
    block: MaskBlock | None = Field(default=None, exclude_if=_absent, serialization_alias="Mask")
    log_saved: bool | None = Field(
        default=None,
        exclude_if=_absent,
        description="Whether the step log took the records; absent where none is configured.",
    )
    logs: list[dict[str, Any]] | None = Field(default=None, exclude_if=_absent)


class ErrorBody(BaseModel):
    """``message`` is for people, ``code`` for programs."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """The request as a whole failed: no mask was made."""

    status: Literal["error"]
    error: ErrorBody
    request_id: str
    log_saved: bool | None = Field(default=None, exclude_if=_absent)


def _any_of(*models: type[BaseModel]) -> dict[str, Any]:
    return {"anyOf": [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]}


class JobAnswer(BaseModel):
    """How far a job is; ``answer`` is what the request would have been answered at once."""

    job_id: str
    state: JobState
    created_at: str
    updated_at: str
    answer: Annotated[dict[str, Any], WithJsonSchema(_any_of(MaskAnswer, ErrorAnswer))] | None = (
        Field(default=None, exclude_if=_absent)
    )
    request_id: str


@dataclass(frozen=True)
class Progress:
    """How far a batch is. ``results`` are the addresses of all answers, when it is done."""

    batch: Batch
    state: Literal["queued", "running", "done", "failed"]
    total: int
    queued: int
    counts: dict[JobState, int]
    results: list[str] | None = None


class CountsAnswer(BaseModel):
    """How many items of a batch are in a state."""

    queued: int
    running: int
    success: int
    partial: int
    refused: int
    error: int


class BatchAnswer(BaseModel):
    """How far a batch is: ``done`` when every item has its answer.

    ``failed`` when a list cannot be read, or too many of its items could not be worked on.
    """

    batch_id: str
    state: Literal["queued", "running", "done", "failed"]
    total: int = Field(description="Of a list, as far as it has been read.")
    counts: CountsAnswer
    created_at: str
    updated_at: str
    results: list[str] | None = Field(
        default=None,
        exclude_if=_absent,
        description="When done: where every answer is, one a line with the item's id, as JSON "
        "Lines. The addresses work for a while; ask again for others.",
    )
    request_id: str


class FormAnswer(BaseModel):
    """Post multipart/form-data to ``url``: every field as it is, then the photo as ``file``."""

    url: str
    fields: dict[str, str]


class UploadAnswer(BaseModel):
    """Where to upload, and where to ask what became of it."""

    job_id: str
    job: str = Field(description="Path to ask for the answer under.")
    key: str = Field(description="The photo's key in the bucket.")
    upload: FormAnswer
    max_bytes: int
    expires_in: int = Field(description="Seconds that the form works.")
    request_id: str


class HealthAnswer(BaseModel):
    """Answered only by a process whose models are loaded."""

    ready: Literal[True]
    model_set: str
    versions: dict[str, str]
    request_id: str


def answer_for(
    result: MaskResult,
    log: RequestLog,
    total_time: float,
    *,
    document: bool = False,
    include_logs: bool = False,
) -> MaskAnswer:
    """The answer to one request. ``total_time`` in seconds; flush ``log`` before."""
    person = result.person
    return MaskAnswer(
        request_id=log.request_id,
        status=result.status,
        masks=result.masks,
        overlay=result.overlay,
        total_time=_seconds(total_time),
        timing=Timing(
            setup_model_symlinks=0.0,
            download_image=_seconds(log.timings["download_image"]),
            generate_masks=_seconds(log.timings.get("generate_masks", 0.0)),
            upload_masks=_seconds(log.timings.get("upload_masks", 0.0)),
        ),
        model_set=result.model_set,
        image=ImageAnswer(width=result.width, height=result.height, sha256=result.sha256),
        person=PersonAnswer(
            box=None if person is None else _box(person.box),
            score=None if person is None else round(person.score, 4),
            people_found=result.people_found,
        ),
        people=[FoundAnswer(box=_box(one.box), score=round(one.score, 4)) for one in result.people]
        or None,
        quality={
            name: QualityAnswer(
                coverage=round(quality.coverage, 4), confidence=round(quality.confidence, 4)
            )
            for name, quality in result.quality.items()
        },
        refused=[
            RefusedAnswer(mask=refused.mask, code=refused.code, message=refused.message)
            for refused in result.refused
        ],
        block=mask_block(result) if document else None,
        log_saved=log.saved,
        logs=log.public_records if include_logs else None,
    )


def job_answer(job: Job, request_id: str) -> JobAnswer:
    """The answer to whoever asks how far ``job`` is."""
    return JobAnswer(
        job_id=job.job_id,
        state=job.state,
        created_at=job.created_at,
        updated_at=job.updated_at,
        answer=job.answer,
        request_id=request_id,
    )


def batch_answer(progress: Progress, request_id: str) -> BatchAnswer:
    """The answer to whoever asks how far a batch is."""
    batch = progress.batch
    return BatchAnswer(
        batch_id=batch.batch_id,
        state=progress.state,
        total=progress.total,
        counts=CountsAnswer(queued=progress.queued, **progress.counts),
        created_at=batch.created_at,
        updated_at=batch.updated_at,
        results=progress.results,
        request_id=request_id,
    )


def mask_block(result: MaskResult) -> MaskBlock:
    """The block for a ``data.json``; an address is null where the mask was not made."""
    return MaskBlock(
        status=result.status,
        upper=result.masks.get(MaskKind.UPPER),
        lower=result.masks.get(MaskKind.LOWER),
    )


def error_for(
    error: TryonMasksError, request_id: str, log_saved: bool | None = None
) -> ErrorAnswer:
    """The answer to a request that failed as a whole."""
    body = ErrorBody(code=error.code, message=str(error))
    return ErrorAnswer(request_id=request_id, status="error", error=body, log_saved=log_saved)


def _seconds(value: float) -> float:
    return round(value, 4)


def _box(box: Box) -> tuple[float, float, float, float]:
    return (round(box.x0, 1), round(box.y0, 1), round(box.x1, 1), round(box.y1, 1))
