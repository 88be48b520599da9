"""``tryon-masks erase``: one user's erasure, what was found where, and what is out of reach."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any
from uuid import uuid4

import typer

from tryon_masks.domain.errors import InvalidRequest, SettingsError
from tryon_masks.domain.identity import ANONYMOUS, check_user_id
from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session, chosen_settings
from tryon_masks.erasure import erase_user
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log, request_log

NO_DEPLOYMENT = "MASK_STORE is not set: erase needs the settings of the deployment."


def erase(
    ctx: typer.Context,
    user_id: Annotated[str, typer.Option(metavar="ID", help="Whose traces are looked for.")],
    yes: Annotated[bool, typer.Option("--yes", help="Erase them: this cannot be undone.")] = False,
    out: given.Out = None,
    store: given.Store = None,
    _verbose: given.Verbose = False,
) -> int:
    """Count all that is kept of a user; with --yes, erase it."""
    session: Session = ctx.obj
    try:
        user = read_person(user_id)
    except InvalidRequest as error:
        raise given.UsageError(str(error)) from error
    # A deployment always names its store. No default is taken: it would be an empty folder here.
    if out is None and store is None and not session.environ.get("MASK_STORE"):
        raise SettingsError(NO_DEPLOYMENT)
    answer = erase_all(chosen_settings(session.environ, out, store), user, really=yes)
    print(json.dumps(answer))
    unset = [place["place"] for place in answer["places"] if place["state"] == "not set up"]
    if unset:
        print(f"Not set up, so not searched: {', '.join(unset)}.", file=sys.stderr)
    if not yes:
        print("Nothing was erased. The same with --yes erases it.", file=sys.stderr)
    return 1 if answer["status"] == "failed" else 0


def read_person(given: str) -> str:
    """``given``, when it is the id of somebody.

    Raises
    ------
    InvalidRequest
    """
    if given == ANONYMOUS:
        raise InvalidRequest(f"{ANONYMOUS} is nobody: what has no owner is erased by its age.")
    return check_user_id(given)


def erase_all(settings: Settings, user_id: str, *, really: bool) -> dict[str, Any]:
    """Find, and ``really`` erase, all of one user; the answer as JSON values.

    Its steps do not go to Firestore, where they would name the user again.

    Raises
    ------
    SettingsError
        A place is set up wrongly; nothing was erased.
    """
    # Here, so that --version and --help need not load it.
    from tryon_masks.wiring import build_places

    with init_log("cli"):
        places = build_places(settings)
    request_id = uuid4().hex
    with request_log(request_id, user_id):
        reports = erase_user(places, user_id, really=really)
    failed = any(report.state == "failed" for report in reports)
    return {
        "status": "failed" if failed else "erased" if really else "found",
        "user_id": user_id,
        "places": [asdict(report) for report in reports],
        "out_of_reach": _out_of_reach(settings),
        "request_id": request_id,
    }


def _out_of_reach(settings: Settings) -> list[str]:
    told = ["What is being made at this moment: run this once more when it is done."]
    if settings.jobs_table or settings.photo_bucket:
        told += [
            "CloudWatch: log lines with the user's id, until the log groups' retention is over.",
            "SQS: numbers of jobs and keys of uploads, 4 days at most, 14 of what was given up.",
            "Step Functions: the input of lists' runs, 90 days; a run that is on is not stopped.",
        ]
    match settings.mask_store:
        case "cloudinary":
            told.append("Cloudinary's CDN: it was told to forget the masks, and takes its time.")
        case "s3" if settings.mask_public_base_url:
            told.append("The CDN before the mask bucket: a day, unless you invalidate its copies.")
        case "directory":
            told.append("Mask files that are named after their photos: they name no user.")
    told.append("What your app and its callback addresses were given.")
    return told
