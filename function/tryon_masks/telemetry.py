"""Logs, traces and metrics. :func:`step` is the only way a step is timed and logged.

One step writes two records, ``started`` and one of ``done``, ``refused`` (the caller's doing) or
``failed``. Each record is a flat dictionary::

    timestamp   ISO 8601, UTC, milliseconds
    level       INFO, WARNING (refused) or ERROR (failed)
    request_id  "init" before the first request
    user_id     "anonymous" when none was given
    component   the part of the service that does the step
    step        the step's name
    status      started, done, refused, failed
    duration    seconds since the step started
    cold_start  true in the init phase and in the process's first request

with the step's own fields after them, and for an error ``code``, ``error`` (the public message),
``error_type`` and ``detail``. The same dictionary goes to the JSON log line, to
:attr:`RequestLog.records` and from there to the :class:`~tryon_masks.ports.StepLog`. A stack trace
goes to the JSON log line alone.

The records go to the standard logger ``tryon_masks``, as a message in words and as the attribute
``record``: ``logging.basicConfig(level="INFO")`` shows them. Nothing is printed as JSON, traced or
counted until :func:`configure` says where.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import urlsplit

from tryon_masks.domain.errors import (
    BadRequest,
    InProgress,
    LogUnavailable,
    Refusal,
    TryonMasksError,
)
from tryon_masks.domain.identity import ANONYMOUS
from tryon_masks.ports import Dimensions, StepLog, TelemetryExporter

SERVICE = "tryon-masks"
LOGGER = "tryon_masks"
INIT = "init"

_INTERNAL_KEYS = frozenset({"detail", "error_type"})
_LEVELS = {"refused": logging.WARNING, "failed": logging.ERROR}

_USERINFO = re.compile(r"(?<=://)[^/\s@'\"\\]*@")
_QUERY = re.compile(r"(?<=\S)[?#][^\s'\"\\<>()]*=[^\s'\"\\<>()]*")


def public_url(url: str) -> str:
    """Strip ``url`` of query, fragment, user name and password: what is left, a log may hold."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(malformed address)"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _scrub(text: str) -> str:
    """Strip free text of the credentials and signatures of the addresses in it; make it valid
    UTF-8.
    """
    valid = text.encode("utf-8", "replace").decode("utf-8")
    return _QUERY.sub("", _USERINFO.sub("", valid))


class _JsonLines(logging.Formatter):
    """One JSON object a line: the record, with ``message``, ``service`` and an ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "level": record.levelname,
            "message": record.getMessage(),
            "timestamp": now(),
            "service": SERVICE,
            **(_exporter.line_fields() if _exporter else {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # The record's own timestamp and level win, so that a line and its copy elsewhere are equal.
        return _scrub(json.dumps({**line, **getattr(record, "record", {})}, default=str))


_logger = logging.getLogger(LOGGER)
# As libraries do: without it Python would print refusals where nobody has set up logging.
_logger.addHandler(logging.NullHandler())
_printer: logging.Handler | None = None
_exporter: TelemetryExporter | None = None


def configure(
    stream: TextIO | None,
    *,
    level: str | int = logging.INFO,
    exporter: TelemetryExporter | None = None,
) -> None:
    """Say where log lines, traces and metrics go.

    Parameters
    ----------
    stream
        Gets one JSON object a line, and no handler of the root logger gets it too; None: the
        records go where the process's own logging sends them.
    level
        Least level that the stream gets.
    exporter
        Gets the traces and the metrics; None: nobody does.
    """
    global _printer, _exporter
    if _printer is not None:
        _logger.removeHandler(_printer)
        _printer = None
    if stream is not None:
        _printer = logging.StreamHandler(stream)
        _printer.setFormatter(_JsonLines())
        _logger.addHandler(_printer)
    _logger.setLevel(logging.NOTSET if stream is None else level)
    _logger.propagate = stream is None
    _exporter = exporter


class _ColdStart:
    """True for the init phase and the first request, False ever after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cold = True

    def take(self) -> bool:
        with self._lock:
            cold, self._cold = self._cold, False
            return cold


_cold_start = _ColdStart()


class RequestLog:
    """All records, timings and counts of one request. Made by :func:`request_log`.

    Attributes
    ----------
    request_id, user_id
        Of the records from now on.
    records
        Every record so far, in order.
    timings
        Seconds by step name; a step that ran more than once is summed.
    saved
        None: no step log is configured, or it was not flushed yet. Else whether the step log took
        the records.
    """

    def __init__(
        self,
        request_id: str,
        user_id: str,
        step_log: StepLog | None = None,
        *,
        cold_start: bool = False,
    ) -> None:
        self.request_id = request_id
        self.user_id = user_id or ANONYMOUS
        self.records: list[dict[str, Any]] = []
        self.timings: dict[str, float] = {}
        self.saved: bool | None = None
        self.cold_start = cold_start
        self._step_log = step_log
        self._written = 0
        self._lock = threading.Lock()
        self._durations: dict[str, list[float]] = defaultdict(list)
        self._counts: dict[tuple[str, Dimensions], float] = defaultdict(float)
        self._traced_error: BaseException | None = None

    @property
    def public_records(self) -> list[dict[str, Any]]:
        """Return the records as a caller may see them: without what is for the log alone."""
        with self._lock:
            return [
                {key: value for key, value in record.items() if key not in _INTERNAL_KEYS}
                for record in self.records
            ]

    def identify(self, user_id: str) -> None:
        """Name the user of the records from now on."""
        self.user_id = user_id or ANONYMOUS

    def open(self) -> None:
        """Open the step log, when there is one.

        Raises
        ------
        LogUnavailable
        """
        if self._step_log is None:
            return
        header = {
            "timestamp": now(),
            "request_id": self.request_id,
            "user_id": self.user_id,
            "service": SERVICE,
            "cold_start": self.cold_start,
        }
        try:
            with step("open_log", "telemetry"):
                self._step_log.open(self.request_id, header)
        except LogUnavailable:
            self.count("StepLogFailed")
            raise

    def flush(self) -> bool:
        """Write the records to the step log, the earlier ones again; False where that failed.

        A failure is an error record and a metric, not an exception, and is not tried again.
        """
        with self._lock:
            records = list(self.records)
        if self._step_log is None or self.saved is False or len(records) == self._written:
            return self.saved is not False
        started = time.perf_counter()
        try:
            # No record of its own: it would be the one record that the step log lacks.
            self._step_log.write(self.request_id, records)
        except LogUnavailable as error:
            self.saved = False
            self.count("StepLogFailed")
            self.write("write_log", "telemetry", "failed", _since(started), _describe(error), error)
        else:
            self.saved, self._written = True, len(records)
        self.measure("write_log", _since(started))
        return self.saved

    def write(
        self,
        name: str,
        component: str,
        status: str,
        duration: float,
        fields: dict[str, Any],
        error: BaseException | None = None,
    ) -> None:
        """Append one record and print it. Only :func:`step` and :meth:`flush` call this."""
        level = _LEVELS.get(status, logging.INFO)
        with self._lock:
            record = {
                "timestamp": now(),
                "level": logging.getLevelName(level),
                "request_id": self.request_id,
                "user_id": self.user_id,
                "component": component,
                "step": name,
                "status": status,
                "duration": duration,
                "cold_start": self.cold_start,
                **{key: _scrub(v) if isinstance(v, str) else v for key, v in fields.items()},
            }
            self.records.append(record)
            # The steps around a failed one fail with the same error: one stack trace is enough.
            known = isinstance(error, TryonMasksError) or error is self._traced_error
            self._traced_error = error or self._traced_error
            _logger.log(
                level,
                "%s %s",
                name,
                status if status == "started" else f"{status} in {duration:.3f} s",
                extra={"record": record},
                exc_info=None if known else error,
            )

    def measure(self, name: str, duration: float) -> None:
        """Add ``duration`` seconds to the timing and the metric of the step ``name``."""
        with self._lock:
            self.timings[name] = round(self.timings.get(name, 0.0) + duration, 3)
            self._durations[name].append(duration)

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counting metric, told apart by ``dimensions``."""
        with self._lock:
            self._counts[name, tuple(sorted(dimensions.items()))] += value

    def publish(self) -> None:
        """Hand the metrics to the exporter, when there is one."""
        with self._lock:
            durations, counts = dict(self._durations), dict(self._counts)
            self._durations.clear()
            self._counts.clear()
            self._traced_error = None
        if _exporter is not None:
            _exporter.publish(self.request_id, durations, counts)


_current: ContextVar[RequestLog | None] = ContextVar("request_log", default=None)


@contextmanager
def _bound(log: RequestLog) -> Iterator[RequestLog]:
    token = _current.set(log)
    try:
        yield log
    finally:
        _current.reset(token)


@contextmanager
def request_log(
    request_id: str, user_id: str, step_log: StepLog | None = None
) -> Iterator[RequestLog]:
    """Open the scope of one request: the step log first, and at the end flush and print metrics.

    A caller that must know beforehand whether the log was saved calls ``flush`` itself; records
    that come after it are still written at the end.

    Raises
    ------
    LogUnavailable
        The step log could not be opened; nothing of the body has run.
    """
    log = RequestLog(request_id, user_id, step_log, cold_start=_cold_start.take())
    if log.cold_start:
        log.count("ColdStart")
    with _bound(log):
        try:
            log.open()
            try:
                yield log
            finally:
                log.flush()
        finally:
            log.publish()


@contextmanager
def init_log(component: str) -> Iterator[RequestLog]:
    """Open the scope of the init phase, itself a step ``init`` of ``component``."""
    log = RequestLog(INIT, ANONYMOUS, cold_start=True)
    with _bound(log):
        try:
            with step(INIT, component):
                yield log
        finally:
            log.publish()


@contextmanager
def step(name: str, component: str, **fields: Any) -> Iterator[None]:
    """Time and log one step; every exception is recorded and goes on.

    Parameters
    ----------
    name
        The step, and its key in the timings and the metrics.
    component
        The part of the service that does it.
    fields
        Anything else worth knowing, JSON values; an address through :func:`public_url`.

    Raises
    ------
    RuntimeError
        Outside :func:`request_log` and :func:`init_log`: no step goes unlogged.
    """
    log = _scope()
    log.write(name, component, "started", 0.0, fields)
    started = time.perf_counter()
    try:
        with _segment(name, log):
            yield
    except BaseException as error:
        status = "refused" if isinstance(error, BadRequest | Refusal | InProgress) else "failed"
        duration = _since(started)
        log.write(name, component, status, duration, {**fields, **_describe(error)}, error)
        raise
    else:
        duration = _since(started)
        log.write(name, component, "done", duration, fields)
    finally:
        log.measure(name, duration)


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """Add to a counting metric of the current request, told apart by ``dimensions``.

    Raises
    ------
    RuntimeError
        Outside :func:`request_log` and :func:`init_log`.
    """
    _scope().count(name, value, **dimensions)


def _scope() -> RequestLog:
    log = _current.get()
    if log is None:
        raise RuntimeError("A step outside request_log() or init_log() would go unlogged.")
    return log


def _segment(name: str, log: RequestLog) -> AbstractContextManager[Any]:
    # There is no trace to hang a segment on before the first request.
    if _exporter is None or log.request_id == INIT:
        return nullcontext()
    return _exporter.segment(name)


def _describe(error: BaseException) -> dict[str, Any]:
    """Return the error's fields of a record. An unexpected error's text may hold anything: left
    out.
    """
    if not isinstance(error, TryonMasksError):
        return {
            "code": TryonMasksError.code,
            "error": TryonMasksError.message,
            "error_type": type(error).__name__,
        }
    fields = {"code": error.code, "error": str(error), "error_type": type(error).__name__}
    return fields if error.detail is None else {**fields, "detail": error.detail}


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _since(started: float) -> float:
    """Return the seconds since ``started``, to the millisecond."""
    return round(time.perf_counter() - started, 3)
