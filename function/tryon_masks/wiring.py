"""Settings become live objects: the one place that knows which adapter stands behind which port.

Called once, in the init phase, inside :func:`tryon_masks.telemetry.init_log`. What is not used is
not imported: boto3 and the Firestore client cost the start more than everything else but models.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, assert_never

from tryon_masks import telemetry
from tryon_masks.adapters.addresses import AddressRules
from tryon_masks.adapters.model_builder import CHECKOUT, build_model_set, cache_folder
from tryon_masks.domain.errors import SettingsError
from tryon_masks.images import Limits
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.submit import BatchSubmitter, JobSubmitter, Submission
from tryon_masks.model_sets import ModelSetInfo, model_sets
from tryon_masks.ports import (
    BatchFiles,
    BatchRuns,
    Callbacks,
    StepLog,
    UploadForms,
    UserData,
    Vision,
    WorkQueue,
)
from tryon_masks.service import MaskService
from tryon_masks.settings import MANIFESTS, RESULTS, UPLOADS, Settings
from tryon_masks.telemetry import step
from tryon_masks.vision.catalog import ModelSet, load_model_set

if TYPE_CHECKING:
    from tryon_masks.adapters.batches import DynamoBatches
    from tryon_masks.adapters.cloudinary import CloudinaryMaskStore
    from tryon_masks.adapters.directory import DirectoryMaskStore
    from tryon_masks.adapters.firestore import FirestoreLog
    from tryon_masks.adapters.idempotency import DynamoIdempotency
    from tryon_masks.adapters.jobs import DynamoJobs
    from tryon_masks.adapters.memory import MemoryFiles
    from tryon_masks.adapters.memory_jobs import MemoryQueue, MemoryUploads
    from tryon_masks.adapters.s3 import S3MaskStore

T = TypeVar("T")

MASKS_PATH = "/masks"
"""Where a server on somebody's own machine answers for masks."""
SECRET_TIMEOUT_S = 5.0
"""Seconds for one call to Secrets Manager, at the start."""
STATE_TIMEOUT_S = 0.5
STATE_TRIES = 2
"""Seconds and tries of a call to DynamoDB or SQS: it must fit beside everything else in one API
call."""
RUN_TIMEOUT_S = 2.0
"""Seconds of each try of a call to Step Functions. Asking for a batch makes three calls."""
ERASE_TIMEOUT_S = 20.0
"""Seconds of each call that erases. Nobody waits for it, and a page of a table is a megabyte."""


def open_telemetry() -> None:
    """Log lines and metrics to stdout, steps to X-Ray: first of all in a Lambda module.

    Libraries log from WARNING on: at INFO botocore tells at each start where credentials are.
    """
    from tryon_masks.adapters.powertools import Powertools

    logging.getLogger().setLevel(logging.WARNING)

    telemetry.configure(sys.stdout, exporter=Powertools())


def models_dir(settings: Settings) -> Path:
    """Return the folder that holds a folder for each model set.

    MODELS_DIR; without it ``models/build`` in a source checkout, and elsewhere the user's cache.
    """
    if settings.models_dir is not None:
        return settings.models_dir
    return CHECKOUT / "build" if CHECKOUT is not None else cache_folder() / "models"


def build_models(settings: Settings) -> Path:
    """Fetch, check and convert what is missing of the model set; the set's folder.

    Raises
    ------
    SettingsError, ModelSetError
    """
    _model_set_info(settings)
    with step("build_models", "models", model_set=settings.model_set):
        return build_model_set(settings.model_set, models_dir(settings))


def check_models(settings: Settings) -> ModelSet:
    """Find every file of the model set, and check it.

    Raises
    ------
    ModelSetError
    """
    with step("check_models", "catalog", model_set=settings.model_set):
        return load_model_set(settings.model_set, models_dir(settings) / settings.model_set)


def build_vision(settings: Settings) -> Vision:
    """Load the model set and run it once.

    Raises
    ------
    SettingsError, ModelSetError
    """
    info = _model_set_info(settings)
    model_set = check_models(settings)
    with step("load_models", "vision", model_set=settings.model_set):
        module = import_module(f"{info.package}.vision")
        options = info.options_from(settings.model_options)
        vision: Vision = module.load(model_set, settings.ort_threads, options)
        return vision


@contextmanager
def vision_ahead(settings: Settings) -> Iterator[Callable[[Settings], Vision]]:
    """Load the models in a thread, beside what else a start has to do.

    Yields
    ------
    What :func:`build_service` gets them from: it waits, and raises what :func:`build_vision` does.
    """
    with ThreadPoolExecutor(1) as pool:
        vision = pool.submit(copy_context().run, build_vision, settings)
        yield lambda _: vision.result()


def build_limits(settings: Settings) -> Limits:
    """Return what a photo may cost, and the grid that the model set works on."""
    return Limits(
        settings.max_photo_bytes,
        settings.max_photo_pixels,
        _model_set_info(settings).working_side,
    )


def build_store(settings: Settings) -> CloudinaryMaskStore | S3MaskStore | DirectoryMaskStore:
    """Build the store that MASK_STORE names, with its credentials.

    Raises
    ------
    SettingsError
    """
    with step("open_store", settings.mask_store):
        match settings.mask_store:
            case "cloudinary":
                from tryon_masks.adapters.cloudinary import CloudinaryMaskStore

                url = settings.cloudinary_url or _secret(
                    "CLOUDINARY_SECRET_ARN",
                    _needed("CLOUDINARY_URL", settings.cloudinary_secret_arn),
                )
                return CloudinaryMaskStore(
                    url, settings.cloudinary_folder, settings.upload_timeout_s
                )
            case "s3":
                from tryon_masks.adapters.s3 import S3MaskStore, s3_client

                return S3MaskStore(
                    _needed("MASK_BUCKET", settings.mask_bucket),
                    settings.mask_prefix,
                    s3_client(settings.upload_timeout_s),
                    settings.mask_public_base_url,
                    settings.mask_url_ttl_s,
                )
            case "directory":
                from tryon_masks.adapters.directory import DirectoryMaskStore

                return DirectoryMaskStore(_needed("MASK_DIR", settings.mask_dir))
            case unknown:
                assert_never(unknown)


def build_step_log(settings: Settings) -> StepLog | None:
    """Build the second home of the log records; None where FIRESTORE_PROJECT is not set.

    Raises
    ------
    SettingsError
    """
    return _firestore_for(settings)


def build_service(
    settings: Settings, load_vision: Callable[[Settings], Vision] = build_vision
) -> MaskService:
    """Build the use case on real parts; the models come last because they take longest.

    Raises
    ------
    SettingsError, ModelSetError
    """
    from tryon_masks.adapters.http import HttpPhotoSource

    store = build_store(settings)
    profiles = _firestore_for(settings)
    rules = AddressRules(settings.allow_http, settings.allowed_image_hosts)
    photos = HttpPhotoSource(settings.max_photo_bytes, settings.fetch_timeout_s, rules)
    idempotency = build_idempotency(settings)
    vision = load_vision(settings)
    limits = build_limits(settings)
    return MaskService(
        vision,
        store,
        photos,
        profiles,
        limits=limits,
        idempotency=idempotency,
        photo_time_s=settings.photo_time_s,
    )


@dataclass(frozen=True)
class LocalParts:
    """What a server on somebody's own machine is made of; all of it is in its memory.

    ``masks`` and ``files`` hold the masks, and uploads with the results of batches. ``queue`` has
    the work that is done later, and ``tracker`` is its worker's.
    """

    service: MaskService
    masks: MemoryFiles
    files: MemoryFiles
    uploads: MemoryUploads
    queue: MemoryQueue
    submission: Submission
    tracker: JobTracker


def build_local(settings: Settings, vision: Vision, base_url: str) -> LocalParts:
    """Build the parts of a server on somebody's own machine, which answers at ``base_url``."""
    from tryon_masks.adapters.http import HttpPhotoSource
    from tryon_masks.adapters.memory import MemoryFiles, MemoryMaskStore
    from tryon_masks.adapters.memory_jobs import (
        MemoryBatches,
        MemoryBatchFiles,
        MemoryJobs,
        MemoryQueue,
        MemoryUploads,
        NoCallbacks,
    )

    masks, files, queue = MemoryFiles(), MemoryFiles(), MemoryQueue()
    rules = AddressRules(settings.allow_http, settings.allowed_image_hosts)
    photos = HttpPhotoSource(settings.max_photo_bytes, settings.fetch_timeout_s, rules)
    store = MemoryMaskStore(f"{base_url}{MASKS_PATH}", masks)
    jobs, batches = MemoryJobs(), MemoryBatches()
    batch_files = MemoryBatchFiles(base_url, files)
    uploads = MemoryUploads(
        base_url, files, queue, settings.max_photo_bytes, settings.upload_form_ttl_s
    )
    return LocalParts(
        service=MaskService(vision, store, photos, limits=build_limits(settings)),
        masks=masks,
        files=files,
        uploads=uploads,
        queue=queue,
        submission=Submission(
            JobSubmitter(jobs, queue, uploads, calls_back=False),
            BatchSubmitter(queue, batches, batch_files, runs=None),
        ),
        tracker=JobTracker(
            jobs, queue, NoCallbacks(), BatchTracker(jobs, queue, batches, batch_files)
        ),
    )


def build_jobs(settings: Settings, timeout_s: float = STATE_TIMEOUT_S) -> DynamoJobs:
    """Open the table that JOBS_TABLE names.

    Raises
    ------
    SettingsError
    """
    with step("open_jobs", "jobs"):
        from tryon_masks.adapters.aws import aws_client
        from tryon_masks.adapters.jobs import DynamoJobs

        table = _needed("JOBS_TABLE", settings.jobs_table)
        client = aws_client("dynamodb", timeout_s, tries=STATE_TRIES)
        return DynamoJobs(table, client, settings.job_ttl_s)


def build_batches(settings: Settings, timeout_s: float = STATE_TIMEOUT_S) -> DynamoBatches:
    """Open the batches in the table that JOBS_TABLE names.

    Raises
    ------
    SettingsError
    """
    with step("open_batches", "jobs"):
        from tryon_masks.adapters.aws import aws_client
        from tryon_masks.adapters.batches import DynamoBatches

        table = _needed("JOBS_TABLE", settings.jobs_table)
        client = aws_client("dynamodb", timeout_s, tries=STATE_TRIES)
        return DynamoBatches(table, client, settings.job_ttl_s)


def build_batch_files(settings: Settings) -> BatchFiles:
    """Open the batches' files in the bucket that PHOTO_BUCKET names.

    Raises
    ------
    SettingsError
    """
    with step("open_batch_files", "s3"):
        from tryon_masks.adapters.s3 import S3BatchFiles, s3_client

        return S3BatchFiles(
            _needed("PHOTO_BUCKET", settings.photo_bucket),
            s3_client(settings.upload_timeout_s),
            RESULTS,
            settings.upload_form_ttl_s,
        )


def build_runs(settings: Settings) -> BatchRuns:
    """Open the state machine that BATCH_MACHINE_ARN names.

    Raises
    ------
    SettingsError
    """
    with step("open_runs", "jobs"):
        from tryon_masks.adapters.aws import aws_client
        from tryon_masks.adapters.runs import StepFunctionsRuns

        arn = _needed("BATCH_MACHINE_ARN", settings.batch_machine_arn)
        return StepFunctionsRuns(arn, aws_client("stepfunctions", RUN_TIMEOUT_S, tries=STATE_TRIES))


def build_queue(settings: Settings) -> WorkQueue:
    """Open the queue that WORK_QUEUE_URL names.

    Raises
    ------
    SettingsError
    """
    with step("open_queue", "jobs"):
        from tryon_masks.adapters.aws import aws_client
        from tryon_masks.adapters.jobs import SqsQueue

        url = _needed("WORK_QUEUE_URL", settings.work_queue_url)
        return SqsQueue(url, aws_client("sqs", STATE_TIMEOUT_S, tries=STATE_TRIES))


def build_callbacks(settings: Settings) -> Callbacks:
    """Build callbacks signed with the key that CALLBACK_SECRET_ARN names.

    Raises
    ------
    SettingsError
    """
    from tryon_masks.adapters.http import HttpCallbacks

    arn = _needed("CALLBACK_SECRET_ARN", settings.callback_secret_arn)
    return HttpCallbacks(_secret("CALLBACK_SECRET_ARN", arn), settings.fetch_timeout_s)


def build_forms(settings: Settings) -> UploadForms:
    """Open the bucket that PHOTO_BUCKET names, for forms.

    Raises
    ------
    SettingsError
    """
    with step("open_uploads", "s3"):
        from tryon_masks.adapters.s3 import S3UploadForms, s3_client

        return S3UploadForms(
            _needed("PHOTO_BUCKET", settings.photo_bucket),
            s3_client(settings.upload_timeout_s),
            settings.max_photo_bytes,
            settings.upload_form_ttl_s,
        )


def build_idempotency(
    settings: Settings, timeout_s: float = STATE_TIMEOUT_S
) -> DynamoIdempotency | None:
    """Open the memory of what was made; None where IDEMPOTENCY_TABLE is not set, as the log says.

    Raises
    ------
    SettingsError
    """
    with step("open_once", "once", on=settings.idempotency_table is not None):
        if settings.idempotency_table is None:
            return None
        from tryon_masks.adapters.aws import aws_client
        from tryon_masks.adapters.idempotency import DynamoIdempotency

        client = aws_client("dynamodb", timeout_s, tries=STATE_TRIES)
        return DynamoIdempotency(settings.idempotency_table, client, settings.idempotency_ttl_s)


def build_places(settings: Settings) -> dict[str, UserData | None]:
    """Open every place where something of users is kept; None: it is not set up.

    Masks come after the jobs, and these after the lists, which could make them anew; the log last.

    Raises
    ------
    SettingsError
    """
    patient = replace(settings, upload_timeout_s=ERASE_TIMEOUT_S)
    return {
        "lines of lists": _build_lines(patient),
        "batches": build_batches(settings, ERASE_TIMEOUT_S) if settings.jobs_table else None,
        "jobs": build_jobs(settings, ERASE_TIMEOUT_S) if settings.jobs_table else None,
        "uploads and results": _build_uploads(patient),
        "repeated answers": build_idempotency(settings, ERASE_TIMEOUT_S),
        "masks": build_store(patient),
        "profile and step log": _firestore_for(settings),
    }


def _build_lines(settings: Settings) -> UserData | None:
    if settings.photo_bucket is None:
        return None
    with step("open_lists", "s3"):
        from tryon_masks.adapters.s3 import BATCHES, S3UserLines, s3_client

        return S3UserLines(
            settings.photo_bucket,
            s3_client(settings.upload_timeout_s),
            (MANIFESTS, BATCHES, f"{RESULTS}{BATCHES}"),
        )


def _build_uploads(settings: Settings) -> UserData | None:
    if settings.photo_bucket is None:
        return None
    with step("open_uploads", "s3"):
        from tryon_masks.adapters.s3 import S3UserObjects, s3_client

        return S3UserObjects(
            settings.photo_bucket,
            s3_client(settings.upload_timeout_s),
            (UPLOADS, MANIFESTS),
            RESULTS,
        )


def _firestore_for(settings: Settings) -> FirestoreLog | None:
    if settings.firestore_project is None:
        return None
    return _firestore(settings.firestore_project, settings.firestore_secret_arn)


@cache
def _firestore(project: str, secret_arn: str | None) -> FirestoreLog:
    """Open one client for the step log and the profiles, so that its secret is read once."""
    with step("open_firestore", "firestore"):
        from tryon_masks.adapters.firestore import FirestoreLog

        account = None if secret_arn is None else _secret("FIRESTORE_SECRET_ARN", secret_arn)
        return FirestoreLog(project, account)


def _secret(setting: str, arn: str) -> str:
    from tryon_masks.adapters.secrets import read_secret, secrets_client

    with step("read_secret", "secrets", setting=setting):
        try:
            # No connection is kept: after a snapshot nobody would be at its other end.
            with closing(secrets_client(SECRET_TIMEOUT_S)) as client:
                return read_secret(arn, client)
        except SettingsError as error:
            raise SettingsError(f"{setting}: {error}", detail=error.detail) from error


def _model_set_info(settings: Settings) -> ModelSetInfo:
    """Return the chosen set. A set is never swapped for another."""
    info = model_sets().get(settings.model_set)
    if info is None:
        names = " or ".join(model_sets())
        raise SettingsError(f"MODEL_SET must be {names}, not {settings.model_set!r}.")
    return info


def _needed(setting: str, value: T | None) -> T:
    if value is None:
        raise SettingsError(f"{setting} is not set.")
    return value
