"""The Lambda module of the API: everything that can fail at the start does so here, once."""

from __future__ import annotations

import os

from tryon_masks.entrypoints.init_phase import end_init  # isort: skip - before all that is slow
from tryon_masks.entrypoints.http.routes import create_handler
from tryon_masks.jobs.submit import BatchSubmitter, JobSubmitter, Submission
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log
from tryon_masks.wiring import (
    build_batch_files,
    build_batches,
    build_forms,
    build_jobs,
    build_queue,
    build_runs,
    build_service,
    build_step_log,
    open_telemetry,
    vision_ahead,
)

open_telemetry()
with init_log("api"):
    settings = Settings.from_env(os.environ, on_lambda=True)
    with vision_ahead(settings) as load_vision:
        jobs, queue, forms = build_jobs(settings), build_queue(settings), build_forms(settings)
        batches, files = build_batches(settings), build_batch_files(settings)
        submission = Submission(
            JobSubmitter(jobs, queue, forms),
            BatchSubmitter(queue, batches, files, build_runs(settings)),
        )
        service = build_service(settings, load_vision)
        handler = create_handler(service, submission, build_step_log(settings))
end_init()
