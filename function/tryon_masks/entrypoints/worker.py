"""The Lambda module of the worker: everything that can fail at the start does so here, once."""

from __future__ import annotations

import os

from tryon_masks.entrypoints.init_phase import end_init  # isort: skip - before all that is slow
from tryon_masks.adapters.s3 import S3Objects, s3_client
from tryon_masks.entrypoints.queue.messages import Worker
from tryon_masks.entrypoints.queue.uploads import Uploads
from tryon_masks.jobs.progress import BatchTracker, JobTracker
from tryon_masks.jobs.run import JobRunner
from tryon_masks.settings import RESULTS, Settings
from tryon_masks.telemetry import init_log
from tryon_masks.wiring import (
    build_batch_files,
    build_batches,
    build_callbacks,
    build_jobs,
    build_queue,
    build_service,
    build_step_log,
    open_telemetry,
    vision_ahead,
)

open_telemetry()
with init_log("worker"):
    settings = Settings.from_env(os.environ, on_lambda=True)
    mask_folder = None
    if settings.mask_store == "s3" and settings.mask_bucket:
        mask_folder = (settings.mask_bucket, settings.mask_prefix)
    with vision_ahead(settings) as load_vision:
        jobs, queue = build_jobs(settings), build_queue(settings)
        batches = BatchTracker(jobs, queue, build_batches(settings), build_batch_files(settings))
        tracker = JobTracker(jobs, queue, build_callbacks(settings), batches)
        runner = JobRunner(build_service(settings, load_vision), build_step_log(settings))
        uploads = Uploads(
            runner,
            S3Objects(s3_client(settings.fetch_timeout_s)),
            tracker,
            results_prefix=RESULTS,
            mask_folder=mask_folder,
            max_bytes=settings.max_photo_bytes,
        )
        handler = Worker(runner, uploads, tracker, tries=settings.work_tries).handle
end_init()
