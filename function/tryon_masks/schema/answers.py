"""What callers get: one set of models for the API, the worker and the CLI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    WithJsonSchema,
)

from tryon_masks.domain.errors import TryonMasksError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.person import Box
from tryon_masks.ports import Batch, Job, JobState
from tryon_masks.service import MaskResult
from tryon_masks.telemetry import RequestLog


def _absent(value: object) -> bool:
    """Return whether a field does not apply: it is left out then, not null."""
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


class TransformAnswer(BaseModel):
    """From photo to target and back: the photo's ``crop`` fills ``content`` of ``size``.

    ``crop`` and ``content`` are [x0, y0, x1, y1], ``photo`` and ``size`` [width, height], all in
    pixels; ``scale`` is target pixels per photo pixel, across and down.
    """

    version: int
    photo: tuple[int, int]
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    content: tuple[int, int, int, int]
    scale: tuple[float, float]


class TargetAnswer(BaseModel):
    """The files that a try-on model reads, for one mask."""

    target: str
    mask: str
    category: str = Field(description="The model's own word for the kind of garment.")
    needs: list[str] = Field(description="What the model needs beside these files.")
    transform: TransformAnswer
    files: dict[str, str] = Field(description="Addresses, by the path that the model reads.")


class KeypointsAnswer(BaseModel):
    """Keypoints on the masks' grid: by name, and as OpenPose writes them."""

    named: dict[str, Any]
    body_25: dict[str, Any]
    coco_18: dict[str, Any]


class MaskAnswer(BaseModel):
    """What came of one photo: ``partial`` where some masks were refused, ``refused`` where all."""

    status: Literal["success", "partial", "refused"]
    masks: dict[str, str]
    overlay: str | None = Field(default=None, exclude_if=_absent)
    outputs: dict[str, str] | None = Field(
        default=None,
        exclude_if=_absent,
        description="Addresses of the pictures among outputs, for instance upper_agnostic.",
    )
    keypoints: KeypointsAnswer | None = Field(default=None, exclude_if=_absent)
    target: dict[str, TargetAnswer] | None = Field(
        default=None, exclude_if=_absent, description="By kind of mask."
    )
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
    """Return the answer to one request. ``total_time`` in seconds; flush ``log`` before."""
    person = result.person
    return MaskAnswer(
        request_id=log.request_id,
        status=result.status,
        masks=result.masks,
        overlay=result.overlay,
        outputs=result.outputs or None,
        keypoints=None
        if result.keypoints is None
        else KeypointsAnswer.model_validate(result.keypoints),
        target={
            kind: TargetAnswer(**one.about, files=one.files) for kind, one in result.targets.items()
        }
        or None,
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
    """Return the answer to whoever asks how far ``job`` is."""
    return JobAnswer(
        job_id=job.job_id,
        state=job.state,
        created_at=job.created_at,
        updated_at=job.updated_at,
        answer=job.answer,
        request_id=request_id,
    )


def batch_answer(progress: Progress, request_id: str) -> BatchAnswer:
    """Return the answer to whoever asks how far a batch is."""
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
    """Return the block for a ``data.json``; an address is null where the mask was not made."""
    return MaskBlock(
        status=result.status,
        upper=result.masks.get(MaskKind.UPPER),
        lower=result.masks.get(MaskKind.LOWER),
    )


def error_for(
    error: TryonMasksError, request_id: str, log_saved: bool | None = None
) -> ErrorAnswer:
    """Return the answer to a request that failed as a whole."""
    body = ErrorBody(code=error.code, message=str(error))
    return ErrorAnswer(request_id=request_id, status="error", error=body, log_saved=log_saved)


def _seconds(value: float) -> float:
    return round(value, 4)


def _box(box: Box) -> tuple[float, float, float, float]:
    return (round(box.x0, 1), round(box.y0, 1), round(box.x1, 1), round(box.y1, 1))
