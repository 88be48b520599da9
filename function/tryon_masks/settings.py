"""What an operator chooses: explicit argument, else environment, else default; checked once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self, cast
from urllib.parse import urlsplit

from tryon_masks.domain.errors import SettingsError
from tryon_masks.model_sets import default_model_set, model_sets

StoreName = Literal["cloudinary", "s3", "directory"]

_STORES = ("cloudinary", "s3", "directory")
_NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
_SECRET_ARN = r"arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+"  # noqa: S105  a pattern
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_TABLE = r"[A-Za-z0-9_.-]{3,255}"
_QUEUE_URL = r"https?://[A-Za-z0-9.:-]+/[0-9]{12}/[A-Za-z0-9_-]{1,80}"
_STATE = (
    "IDEMPOTENCY_TABLE",
    "JOBS_TABLE",
    "WORK_QUEUE_URL",
    "PHOTO_BUCKET",
    "CALLBACK_SECRET_ARN",
)
_MACHINE_ARN = r"arn:[a-z-]+:states:[a-z0-9-]+:\d{12}:stateMachine:[A-Za-z0-9_-]{1,80}"
_PREFIX = r"[^/\s]+(/[^/\s]+)*"
_CLOUDINARY_NAME = r"[^/\s?&#\\%<>+\x00-\x1f\x7f]+"
_CLOUDINARY_FOLDER = rf"(?=.{{1,150}}$){_CLOUDINARY_NAME}(/{_CLOUDINARY_NAME})*"
_CLOUDINARY_REFUSES = "no white space and none of ? & # \\ % < > +, 150 characters at most"
_HOST = r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z][a-z0-9-]*"
_WEEK_S = 7 * 24 * 3600
_REMEMBERED_S = 1800

UPLOADS = "uploads/"
"""What the keys of uploads begin with. The template's notification and roles name it too."""
MANIFESTS = "manifests/"
"""What the keys of lists begin with."""
RESULTS = "results/"
"""What the keys of the workers' answers begin with. The template's roles name it too."""


@dataclass(frozen=True)
class Settings:
    """One field for each environment variable, which is the field's name in capitals.

    Attributes
    ----------
    model_set
        Which models; the name of their folder.
    models_dir
        The folder that contains the set's folder; None: ``models/build`` of a source checkout, and
        elsewhere a folder of the user's cache.
    ort_threads
        ONNX Runtime's threads for one inference.
    model_options
        What was chosen of the set's own settings, by environment variable; see
        :class:`~tryon_masks.model_sets.ModelSetInfo`.
    mask_store
        Where masks go. ``directory`` off Lambda when nothing is said; no default on Lambda.
    mask_dir
        For ``directory``.
    mask_bucket, mask_prefix, mask_public_base_url, mask_url_ttl_s
        For ``s3``. Without a public base URL the addresses are presigned, for that many seconds.
    cloudinary_url, cloudinary_secret_arn, cloudinary_folder
        For ``cloudinary``: exactly one of the first two.
    firestore_project, firestore_secret_arn
        The step log in Firestore: on when the project is set. Without a secret (a service
        account's JSON) the ambient Google credentials are used.
    allow_http
        Fetch photos over plain http too.
    allowed_image_hosts
        The only hosts that photos are fetched from, ``*.`` in front for every host below one;
        empty: every public host.
    max_photo_bytes, max_photo_pixels
        Limits of one photo.
    fetch_timeout_s, upload_timeout_s
        Seconds for one photo, and for one upload with all its tries.
    photo_time_s
        How long seeing and shaping one photo can take here; a call with less left is refused.
    idempotency_table
        The DynamoDB table that remembers what was made, so that the same request is not served
        twice. Needed on Lambda; elsewhere nothing is remembered without it.
    jobs_table, job_ttl_s
        The DynamoDB table of jobs, and the seconds that one can be looked up. Needed on Lambda.
    work_queue_url, work_tries
        The SQS queue to the worker, and how often it hands over a message before it gives up.
        Needed on Lambda.
    callback_secret_arn
        The secret that callbacks are signed with. Needed on Lambda.
    batch_machine_arn
        The state machine of Step Functions that works off lists. Needed by the API on Lambda.
    photo_bucket, upload_form_ttl_s
        The S3 bucket that photos are uploaded to, and the seconds that a form for it works. Needed
        on Lambda.
    """

    mask_store: StoreName
    ort_threads: int
    model_set: str = default_model_set() or ""
    models_dir: Path | None = None
    model_options: Mapping[str, str] = field(default_factory=dict)
    mask_dir: Path | None = None
    mask_bucket: str | None = None
    mask_prefix: str = "masks"
    mask_public_base_url: str | None = None
    mask_url_ttl_s: int = 3600
    cloudinary_url: str | None = field(default=None, repr=False)
    cloudinary_secret_arn: str | None = None
    cloudinary_folder: str = "tryon-masks"
    firestore_project: str | None = None
    firestore_secret_arn: str | None = None
    allow_http: bool = False
    allowed_image_hosts: tuple[str, ...] = ()
    max_photo_bytes: int = 25_000_000
    max_photo_pixels: int = 60_000_000
    fetch_timeout_s: float = 6.0
    upload_timeout_s: float = 5.0
    photo_time_s: float = 9.0
    idempotency_table: str | None = None
    jobs_table: str | None = None
    job_ttl_s: int = 86_400
    work_queue_url: str | None = None
    work_tries: int = 5
    callback_secret_arn: str | None = None
    batch_machine_arn: str | None = None
    photo_bucket: str | None = None
    upload_form_ttl_s: int = 900

    @property
    def idempotency_ttl_s(self) -> int:
        """Return the seconds that is remembered what was made.

        At most half as long as presigned addresses work: those of a repeated answer work too.
        """
        if self.mask_store == "s3" and not self.mask_public_base_url:
            return min(_REMEMBERED_S, self.mask_url_ttl_s // 2)
        return _REMEMBERED_S

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, on_lambda: bool, **explicit: Any) -> Self:
        """Read and check every setting.

        Parameters
        ----------
        environ
            The environment; an empty value counts as not set.
        on_lambda
            On Lambda the store and its place must be chosen.
        explicit
            Fields by name that win over the environment; None counts as not given.

        Raises
        ------
        SettingsError
            With every problem, one a line, each naming its variable. Secrets are never quoted.
        TypeError
            ``explicit`` names a field that does not exist.
        """
        unknown = explicit.keys() - {one.name for one in fields(cls)}
        if unknown:
            raise TypeError(f"No such setting: {', '.join(sorted(unknown))}")
        read = _Reader(environ, explicit)
        known = [one.name.upper() for one in fields(cls) if one.name != "model_options"]
        read.check_names([*known, *(name for one in model_sets().values() for name in one.options)])
        store = read.store(on_lambda)
        model_set = read.model_set()
        settings = cls(
            mask_store=cast(StoreName, store),
            ort_threads=read.whole("ORT_THREADS", os.cpu_count() or 1, 1, 256),
            model_set=model_set,
            models_dir=read.folder("MODELS_DIR"),
            model_options=read.model_options(model_set),
            mask_dir=read.folder("MASK_DIR"),
            mask_bucket=read.text("MASK_BUCKET", _BUCKET),
            mask_prefix=read.text("MASK_PREFIX", _PREFIX) or cls.mask_prefix,
            mask_public_base_url=read.https("MASK_PUBLIC_BASE_URL"),
            mask_url_ttl_s=read.whole("MASK_URL_TTL_S", cls.mask_url_ttl_s, 60, _WEEK_S),
            cloudinary_url=read.cloudinary("CLOUDINARY_URL"),
            cloudinary_secret_arn=read.arn("CLOUDINARY_SECRET_ARN"),
            cloudinary_folder=read.text(
                "CLOUDINARY_FOLDER", _CLOUDINARY_FOLDER, _CLOUDINARY_REFUSES
            )
            or cls.cloudinary_folder,
            firestore_project=read.text("FIRESTORE_PROJECT", r"[a-z][a-z0-9.:-]*[a-z0-9]"),
            firestore_secret_arn=read.arn("FIRESTORE_SECRET_ARN"),
            allow_http=read.flag("ALLOW_HTTP"),
            allowed_image_hosts=read.hosts("ALLOWED_IMAGE_HOSTS"),
            max_photo_bytes=read.whole("MAX_PHOTO_BYTES", cls.max_photo_bytes, 1, 1_000_000_000),
            max_photo_pixels=read.whole("MAX_PHOTO_PIXELS", cls.max_photo_pixels, 1, 500_000_000),
            fetch_timeout_s=read.seconds("FETCH_TIMEOUT_S", cls.fetch_timeout_s),
            upload_timeout_s=read.seconds("UPLOAD_TIMEOUT_S", cls.upload_timeout_s),
            photo_time_s=read.seconds("PHOTO_TIME_S", cls.photo_time_s),
            idempotency_table=read.text("IDEMPOTENCY_TABLE", _TABLE),
            jobs_table=read.text("JOBS_TABLE", _TABLE),
            job_ttl_s=read.whole("JOB_TTL_S", cls.job_ttl_s, 60, 13 * _WEEK_S),
            work_queue_url=read.text("WORK_QUEUE_URL", _QUEUE_URL),
            work_tries=read.whole("WORK_TRIES", cls.work_tries, 1, 1000),
            callback_secret_arn=read.arn("CALLBACK_SECRET_ARN"),
            batch_machine_arn=read.text("BATCH_MACHINE_ARN", _MACHINE_ARN),
            photo_bucket=read.text("PHOTO_BUCKET", _BUCKET),
            upload_form_ttl_s=read.whole("UPLOAD_FORM_TTL_S", cls.upload_form_ttl_s, 60, _WEEK_S),
        )
        read.check_together(store, on_lambda)
        if read.problems:
            raise SettingsError("\n".join(read.problems))
        return settings


class _Reader:
    """Reads one value after the other and keeps the problems."""

    def __init__(self, environ: Mapping[str, str], explicit: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._environ = environ
        self._explicit = explicit

    def check_names(self, known: Sequence[str]) -> None:
        """Tell which names in the environment are nearly, but not, those of settings."""
        for name in sorted(self._environ.keys() - set(known)):
            if self._environ[name] and (meant := get_close_matches(name.upper(), known, 1, 0.85)):
                self.problems.append(f"{name} is not a setting: did you mean {meant[0]}?")

    def raw(self, name: str) -> str | None:
        """Return the value as text; None when it is not set."""
        value = self._explicit.get(name.lower())
        if value is None:
            value = self._environ.get(name)
        if isinstance(value, bool):
            value = int(value)
        return str(value) if value is not None and str(value) != "" else None

    def text(self, name: str, pattern: str, wanted: str | None = None) -> str | None:
        value = self.raw(name)
        if value is not None and not re.fullmatch(pattern, value):
            why = f"; it must have {wanted}" if wanted else ""
            self.problems.append(f"{name} is malformed: {value!r}{why}.")
        return value

    def model_set(self) -> str:
        """Read MODEL_SET. Whether there is such a set is checked by whoever uses it."""
        name = self.text("MODEL_SET", _NAME) or default_model_set()
        if name is None:
            self.problems.append(f"MODEL_SET is not set: choose {' or '.join(model_sets())}.")
        return name or ""

    def model_options(self, model_set: str) -> dict[str, str]:
        """Check the options of every model set, and return those of this one that are set."""
        chosen: dict[str, str] = {}
        for info in model_sets().values():
            for name, option in info.options.items():
                value = self.raw(name)
                if value is not None and value not in option.values:
                    problem = f"{name} must be {' or '.join(option.values)}, not {value!r}."
                    self.problems += [problem] if problem not in self.problems else []
                if value is not None and info.name == model_set:
                    chosen[name] = value
        return chosen

    def folder(self, name: str) -> Path | None:
        value = self.raw(name)
        return None if value is None else Path(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.raw(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,12}", value) or not low <= int(value) <= high:
            self.problems.append(f"{name} must be a whole number, {low} to {high}, not {value!r}.")
            return default
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        value = self.raw(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]+)?", value) or not 0 < float(value) <= 120:
            self.problems.append(f"{name} must be seconds, more than 0, to 120, not {value!r}.")
            return default
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.raw(name)
        if value not in (None, "0", "1"):
            self.problems.append(f"{name} must be 0 or 1, not {value!r}.")
        return value == "1"

    def hosts(self, name: str) -> tuple[str, ...]:
        """Read host names between commas, in lower case."""
        value = self.raw(name)
        if value is None:
            return ()
        hosts = tuple(host.strip().lower() for host in value.split(","))
        for host in hosts:
            if not re.fullmatch(_HOST, host):
                self.problems.append(f"{name} must be host names between commas, not {host!r}.")
        return hosts

    def https(self, name: str) -> str | None:
        value = self.raw(name)
        if value is None:
            return None
        if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^\s?#]*)?", value):
            self.problems.append(f"{name} must be an https address without user name or query.")
        return value.rstrip("/")

    def arn(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not re.fullmatch(_SECRET_ARN, value):
            # Not quoted: people put the secret itself here.
            self.problems.append(f"{name} must be the ARN of a secret in Secrets Manager.")
        return value

    def cloudinary(self, name: str) -> str | None:
        value = self.raw(name)
        if value is not None and not _is_cloudinary_url(value):
            self.problems.append(f"{name} must read cloudinary://KEY:SECRET@CLOUD.")
        return value

    def store(self, on_lambda: bool) -> str:
        value = self.raw("MASK_STORE") or ("" if on_lambda else "directory")
        if not value:
            self.problems.append("MASK_STORE is not set: choose cloudinary, s3 or directory.")
        elif value not in _STORES:
            self.problems.append(f"MASK_STORE must be cloudinary, s3 or directory, not {value!r}.")
        return value

    def check_together(self, store: str, on_lambda: bool) -> None:
        """Check what a value asks of the others."""
        if store == "directory" and on_lambda and self.raw("MASK_DIR") is None:
            self.problems.append("MASK_STORE=directory needs MASK_DIR.")
        if store == "s3" and self.raw("MASK_BUCKET") is None:
            self.problems.append("MASK_STORE=s3 needs MASK_BUCKET.")
        if store == "cloudinary":
            url, arn = self.raw("CLOUDINARY_URL"), self.raw("CLOUDINARY_SECRET_ARN")
            if (url is None) == (arn is None):
                self.problems.append(
                    "MASK_STORE=cloudinary needs exactly one of CLOUDINARY_URL and "
                    "CLOUDINARY_SECRET_ARN."
                )
        if self.raw("FIRESTORE_SECRET_ARN") and not self.raw("FIRESTORE_PROJECT"):
            self.problems.append("FIRESTORE_SECRET_ARN needs FIRESTORE_PROJECT.")
        if on_lambda:
            self.problems += [f"{name} is not set." for name in _STATE if self.raw(name) is None]


def _is_cloudinary_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme == "cloudinary" and all((parts.username, parts.password, parts.hostname))
