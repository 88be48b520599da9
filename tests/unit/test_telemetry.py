"""Telemetry: every step leaves its records, timing, metric and segment, and hides nothing."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import copy_context
from typing import Any

import pytest

from tryon_masks import telemetry
from tryon_masks.adapters.powertools import Powertools
from tryon_masks.domain.errors import (
    InvalidRequest,
    LogUnavailable,
    NoPerson,
    StoreFailed,
    TryonMasksError,
)
from tryon_masks.telemetry import RequestLog, count, init_log, public_url, request_log, step

KEYS = [
    "timestamp",
    "level",
    "request_id",
    "user_id",
    "component",
    "step",
    "status",
    "duration",
    "cold_start",
]


class MemoryLog:
    """A step log that remembers, and fails on demand."""

    def __init__(self, *, opens: bool = True, writes: bool = True) -> None:
        self.opens = opens
        self.writes = writes
        self.headers: list[dict[str, Any]] = []
        self.written: list[list[Mapping[str, Any]]] = []

    def open(self, request_id: str, header: Mapping[str, Any]) -> None:
        if not self.opens:
            raise LogUnavailable(detail="full")
        self.headers.append(dict(header))

    def write(self, request_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        if not self.writes:
            raise LogUnavailable(detail="gone")
        self.written.append(list(records))


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    telemetry.configure(stream)
    yield stream
    telemetry.configure(None)


@pytest.fixture
def metrics() -> Iterator[None]:
    telemetry.configure(None, exporter=Powertools())
    yield
    telemetry.configure(None)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def last(log: RequestLog) -> dict[str, Any]:
    return log.records[-1]


def test_a_step_leaves_a_started_and_a_done_record_with_every_key() -> None:
    with request_log("request-1", "marie") as log, step("download_image", "intake", attempt=2):
        pass
    assert [record["status"] for record in log.records] == ["started", "done"]
    for record in log.records:
        assert list(record) == [*KEYS, "attempt"]
        assert record["level"] == "INFO"
        assert record["request_id"] == "request-1"
        assert record["user_id"] == "marie"
        assert record["component"] == "intake"
        assert record["step"] == "download_image"
        assert record["attempt"] == 2
        assert record["duration"] >= 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["timestamp"])


def test_a_printed_line_holds_the_record_itself_at_top_level(printed: io.StringIO) -> None:
    with request_log("request-1", "marie") as log, step("download_image", "intake", message="x"):
        pass
    for line, record in zip(lines(printed), log.records, strict=True):
        assert {key: line[key] for key in record} == record
        assert line["service"] == "tryon-masks"


def test_duration_and_timing_are_seconds_to_the_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([10.0, 11.23456, 20.0, 20.5])
    monkeypatch.setattr("tryon_masks.telemetry.time.perf_counter", lambda: next(now))
    with request_log("request-1", "marie") as log:
        with step("shape_mask", "masks"):
            pass
        assert last(log)["duration"] == 1.235
        with step("shape_mask", "masks"):
            pass
    assert log.timings == {"shape_mask": 1.735}


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (NoPerson(), "refused", "WARNING"),
        (InvalidRequest("masks is empty."), "refused", "WARNING"),
        (StoreFailed("upper failed.", detail="503 from the store"), "failed", "ERROR"),
    ],
)
def test_an_error_of_ours_is_recorded_with_code_message_and_detail_and_goes_on(
    error: TryonMasksError, status: str, level: str, printed: io.StringIO
) -> None:
    with (
        request_log("request-1", "marie") as log,
        pytest.raises(type(error)) as raised,
        step("work", "service", mask="upper"),
    ):
        raise error
    assert raised.value is error
    record = last(log)
    assert (record["status"], record["level"]) == (status, level)
    assert (record["code"], record["error"]) == (error.code, str(error))
    assert record["error_type"] == type(error).__name__
    assert record.get("detail") == error.detail
    assert record["mask"] == "upper"
    assert "exception" not in lines(printed)[-1]
    assert "work" in log.timings


def test_an_unexpected_error_has_its_stack_trace_in_the_log_line_alone(
    printed: io.StringIO,
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        request_log("request-1", "marie") as log,
        step("outer", "service"),
        step("inner", "service"),
    ):
        _ = 1 / 0
    inner, outer = log.records[-2:]
    assert (inner["step"], outer["step"]) == ("inner", "outer")
    for record in (inner, outer):
        assert (record["status"], record["level"]) == ("failed", "ERROR")
        assert (record["code"], record["error_type"]) == ("INTERNAL", "ZeroDivisionError")
        assert "division" not in json.dumps(record)
    inner_line, outer_line = lines(printed)[-2:]
    assert "ZeroDivisionError: division by zero" in inner_line["exception"]
    assert "exception" not in outer_line


def test_even_an_interrupt_is_recorded() -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        request_log("request-1", "marie") as log,
        step("work", "service"),
    ):
        raise KeyboardInterrupt
    assert (last(log)["status"], last(log)["error_type"]) == ("failed", "KeyboardInterrupt")


def test_a_refusal_inside_a_step_that_handles_it_leaves_the_outer_one_done() -> None:
    with (
        request_log("request-1", "marie") as log,
        step("outer", "service"),
        pytest.raises(NoPerson),
        step("inner", "service"),
    ):
        raise NoPerson
    assert [(record["step"], record["status"]) for record in log.records] == [
        ("outer", "started"),
        ("inner", "started"),
        ("inner", "refused"),
        ("outer", "done"),
    ]


def test_a_caller_sees_no_detail() -> None:
    with (
        request_log("request-1", "marie") as log,
        pytest.raises(StoreFailed),
        step("work", "service"),
    ):
        raise StoreFailed("upper failed.", detail="internal")
    record = log.public_records[-1]
    assert record["error"] == "upper failed."
    assert record.keys().isdisjoint({"detail", "error_type"})
    assert last(log)["detail"] == "internal"


def test_a_step_outside_a_scope_is_a_mistake_of_the_code() -> None:
    with pytest.raises(RuntimeError, match="unlogged"), step("work", "service"):
        pytest.fail("the body ran")
    with pytest.raises(RuntimeError, match="unlogged"):
        count("MasksMade")


def test_the_scope_ends_with_its_block() -> None:
    with request_log("request-1", "marie"):
        pass
    with pytest.raises(RuntimeError), step("work", "service"):
        pytest.fail("the body ran")


def test_the_user_is_anonymous_until_named() -> None:
    with request_log("request-1", "") as log:
        with step("read_request", "api"):
            log.identify("marie")
        with step("forget", "api"):
            log.identify("")
    assert [record["user_id"] for record in log.records] == [
        "anonymous",
        "marie",
        "marie",
        "anonymous",
    ]


def test_the_init_phase_is_a_request_of_its_own() -> None:
    with init_log("api") as log, step("load_models", "vision"):
        pass
    assert [(record["step"], record["status"]) for record in log.records] == [
        ("init", "started"),
        ("load_models", "started"),
        ("load_models", "done"),
        ("init", "done"),
    ]
    assert {record["request_id"] for record in log.records} == {"init"}
    assert all(record["cold_start"] for record in log.records)


def test_steps_in_threads_are_records_of_the_same_request() -> None:
    threads, rounds = 8, 50

    def work() -> None:
        for _ in range(rounds):
            with step("upload_mask", "store"):
                pass

    with request_log("request-1", "marie") as log, step("upload_masks", "store"):
        workers = [
            threading.Thread(target=copy_context().run, args=(work,)) for _ in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    uploads = [record for record in log.records if record["step"] == "upload_mask"]
    assert len(uploads) == 2 * threads * rounds
    total = sum(record["duration"] for record in uploads)
    assert log.timings["upload_mask"] == pytest.approx(total, abs=1e-3)


def test_two_requests_at_once_keep_apart() -> None:
    logs: dict[str, RequestLog] = {}
    both_open = threading.Barrier(2)

    def request(name: str) -> None:
        with request_log(name, name) as log:
            both_open.wait()
            with step("work", "service"):
                logs[name] = log

    workers = [threading.Thread(target=request, args=(name,)) for name in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for name, log in logs.items():
        assert [record["request_id"] for record in log.records] == [name, name]


@pytest.mark.parametrize(
    ("url", "logged"),
    [
        ("https://h.example/a/b.jpg", "https://h.example/a/b.jpg"),
        ("https://h.example/a.jpg?X-Amz-Signature=1&b", "https://h.example/a.jpg"),
        ("https://h.example/a.jpg?token", "https://h.example/a.jpg"),
        ("https://h.example/a.jpg#token=1", "https://h.example/a.jpg"),
        ("https://marie:pass@h.example:8443/a.jpg", "https://h.example:8443/a.jpg"),
        ("https://marie:p@ss@h.example/a.jpg", "https://h.example/a.jpg"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://[h.example/?secret", "(malformed address)"),
        ("", ""),
    ],
)
def test_an_address_is_logged_without_query_and_credentials(url: str, logged: str) -> None:
    assert public_url(url) == logged


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("https://marie:pass@h.example/a?Signature=s3cr3t", "https://h.example/a"),
        ("GET /a.jpg?Signature=s3cr3t&x=1 (refused)", "GET /a.jpg (refused)"),
        ("see 'https://h.example/a?Signature=s3cr3t'!", "see 'https://h.example/a'!"),
        ("cloudinary://1234:s3cr3t@cloud", "cloudinary://cloud"),
        ("half a name: \ud800", "half a name: ?"),
        ("is it so? a = b", "is it so? a = b"),
    ],
)
def test_signatures_in_free_text_do_not_reach_any_log(
    text: str, logged: str, printed: io.StringIO
) -> None:
    with request_log("request-1", "marie") as log:
        with pytest.raises(StoreFailed), step("work", "service", note=text):
            raise StoreFailed(text, detail=text)
        with pytest.raises(ValueError), step("work", "service"):
            raise ValueError(text)
    failed = log.records[1]
    assert (failed["note"], failed["error"], failed["detail"]) == (logged, logged, logged)
    assert "s3cr3t" not in printed.getvalue()


def test_the_step_log_is_opened_first_and_gets_every_record() -> None:
    step_log = MemoryLog()
    with request_log("request-1", "marie", step_log) as log:
        assert step_log.headers[0]["request_id"] == "request-1"
        assert step_log.headers[0]["user_id"] == "marie"
        with step("work", "service"):
            pass
        assert log.saved is None
    assert log.saved is True
    assert step_log.written == [log.records]
    assert [record["step"] for record in log.records] == ["open_log"] * 2 + ["work"] * 2


def test_a_step_log_that_does_not_open_refuses_the_request_before_any_work() -> None:
    with pytest.raises(LogUnavailable), request_log("request-1", "marie", MemoryLog(opens=False)):
        pytest.fail("the body ran")


def test_a_step_log_that_fails_at_the_end_is_an_error_record_and_a_metric(
    metrics: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with request_log("request-1", "marie", MemoryLog(writes=False)) as log:
        assert log.flush() is False
        assert log.flush() is False
    assert log.saved is False
    failures = [record for record in log.records if record["step"] == "write_log"]
    assert [(one["status"], one["code"], one["detail"]) for one in failures] == [
        ("failed", "LOG_UNAVAILABLE", "gone")
    ]
    assert blob_with(capsys, "StepLogFailed")["StepLogFailed"] == [1.0]


def test_so_is_one_that_does_not_open(metrics: None, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(LogUnavailable),
        request_log("request-1", "marie", MemoryLog(opens=False)),
    ):
        pass
    blob = blob_with(capsys, "StepLogFailed")
    assert blob["StepLogFailed"] == [1.0]
    assert blob["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


def test_the_step_log_is_written_once_where_nothing_comes_after() -> None:
    step_log = MemoryLog()
    with request_log("request-1", "marie", step_log) as log:
        assert log.flush() is True
        assert log.flush() is True
    assert len(step_log.written) == 1


def test_a_step_after_the_flush_is_written_at_the_end() -> None:
    step_log = MemoryLog()
    with request_log("request-1", "marie", step_log) as log:
        log.flush()
        with step("write_result", "worker"):
            pass
    assert step_log.written[-1] == log.records
    assert log.records[-1]["step"] == "write_result"


def test_a_write_that_failed_is_not_tried_again() -> None:
    step_log = MemoryLog(writes=False)
    with request_log("request-1", "marie", step_log) as log:
        log.flush()
        step_log.writes = True
        with step("write_result", "worker"):
            pass
    assert log.saved is False
    assert step_log.written == []


def test_an_error_of_the_request_does_not_keep_its_records_from_the_step_log() -> None:
    step_log = MemoryLog()
    with (
        pytest.raises(StoreFailed),
        request_log("request-1", "marie", step_log),
        step("work", "service"),
    ):
        raise StoreFailed
    assert step_log.written[0][-1]["code"] == "STORE_FAILED"


def test_without_a_step_log_there_is_nothing_to_save() -> None:
    with request_log("request-1", "marie") as log:
        assert log.flush() is True
    assert log.saved is None


def blobs(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def blob_with(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, Any]:
    (found,) = (blob for blob in blobs(capsys) if name in blob)
    return found


def test_metrics_are_step_seconds_and_counts_apart_by_dimension(
    metrics: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with request_log("request-1", "marie"):
        for _ in range(2):
            with step("shape_mask", "masks"):
                pass
        count("MasksMade", 2)
        count("MasksMade")
        count("MasksRefused", code="NO_PERSON")
        count("MasksRefused", code="LEGS_NOT_VISIBLE")
        count("MasksRefused", code="LEGS_NOT_VISIBLE")
    found = blobs(capsys)
    for blob in found:
        assert blob["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "TryonMasks"
        assert blob["service"] == "tryon-masks"
        assert blob["request_id"] == "request-1"
    (plain,) = (blob for blob in found if "code" not in blob)
    assert plain["MasksMade"] == [3.0]
    assert len(plain["shape_mask"]) == 2
    units = {
        metric["Name"]: metric["Unit"]
        for metric in plain["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert (units["shape_mask"], units["MasksMade"]) == ("Seconds", "Count")
    refused = {blob["code"]: blob["MasksRefused"] for blob in found if "code" in blob}
    assert refused == {"NO_PERSON": [1.0], "LEGS_NOT_VISIBLE": [2.0]}


def test_metrics_are_printed_for_a_request_that_failed_too(
    metrics: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreFailed), request_log("request-1", "marie"), step("work", "service"):
        raise StoreFailed
    assert len(blob_with(capsys, "work")["work"]) == 1


def test_nothing_is_printed_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(None)
    with request_log("request-1", "marie") as log, step("work", "service"):
        count("MasksMade")
    assert len(log.records) == 2
    assert capsys.readouterr() == ("", "")


def test_the_level_chooses_what_is_printed_not_what_is_kept(printed: io.StringIO) -> None:
    telemetry.configure(printed, level="WARNING")
    try:
        with request_log("request-1", "marie") as log:
            with step("decode_image", "intake"):
                pass
            with pytest.raises(NoPerson), step("choose_person", "fitness"):
                raise NoPerson
    finally:
        telemetry.configure(printed, level="INFO")
    assert [line["status"] for line in lines(printed)] == ["refused"]
    assert len(log.records) == 4


def in_a_process(code: str, **environ: str) -> list[dict[str, Any]]:
    """What a fresh process prints to stdout, line by line; it must say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


ON_LAMBDA = """
    from tryon_masks.wiring import open_telemetry
    open_telemetry()
"""
TWO_REQUESTS = """
    from tryon_masks.telemetry import init_log, request_log, step
    with init_log("api"), step("load_models", "vision"):
        pass
    for name in ("first", "second"):
        with request_log(name, "marie"), step("work", "service"):
            pass
"""


def test_the_first_request_of_a_process_and_no_other_is_a_cold_start() -> None:
    printed = in_a_process(ON_LAMBDA + TWO_REQUESTS)
    cold = {line["request_id"]: line["cold_start"] for line in printed if "cold_start" in line}
    assert cold == {"init": True, "first": True, "second": False}
    counted = [line["request_id"] for line in printed if "ColdStart" in line]
    assert counted == ["first"]


def test_on_lambda_lines_and_metrics_go_to_stdout() -> None:
    printed = in_a_process(ON_LAMBDA + TWO_REQUESTS)
    assert sum("step" in line for line in printed) == 4 + 2 + 2
    assert sum("_aws" in line for line in printed) == 3


def test_on_lambda_libraries_log_their_warnings_alone() -> None:
    code = """
        import logging, sys
        logging.basicConfig(level="INFO", stream=sys.stdout, format='{"logger": "%(name)s"}')
        from tryon_masks.wiring import open_telemetry
        open_telemetry()
        logging.getLogger("botocore.credentials").info("Found credentials.")
        logging.getLogger("botocore.retries").warning("Throttled.")
    """
    assert in_a_process(code) == [{"logger": "botocore.retries"}]


def test_elsewhere_a_process_is_silent_and_loads_no_tracer() -> None:
    code = TWO_REQUESTS + "    import sys; assert 'aws_xray_sdk' not in sys.modules\n"
    assert in_a_process(code) == []


def test_where_nothing_is_configured_the_records_go_to_the_standard_logger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telemetry.configure(None)
    with (
        caplog.at_level("INFO", logger="tryon_masks"),
        pytest.raises(NoPerson),
        request_log("request-1", "marie") as log,
        step("find_people", "vision"),
    ):
        raise NoPerson
    started, refused = caplog.records
    assert [one.__dict__["record"] for one in caplog.records] == log.records
    assert {one.name for one in caplog.records} == {"tryon_masks"}
    assert (started.levelname, refused.levelname) == ("INFO", "WARNING")
    assert started.getMessage() == "find_people started"
    assert re.fullmatch(r"find_people refused in \d\.\d{3} s", refused.getMessage())


def test_lines_that_are_printed_are_not_given_to_the_root_logger_too() -> None:
    code = """
        import logging, sys
        from tryon_masks import telemetry
        logging.basicConfig(level="INFO", stream=sys.stdout)
        telemetry.configure(sys.stdout)
        with telemetry.request_log("first", "marie"), telemetry.step("work", "service"):
            pass
    """
    assert [line["status"] for line in in_a_process(code)] == ["started", "done"]


def test_on_lambda_each_step_of_a_request_is_a_trace_segment() -> None:
    code = """
        import os
        from contextlib import suppress
        from tryon_masks.domain.errors import StoreFailed
        from tryon_masks.telemetry import init_log, request_log, step
        from tryon_masks.wiring import open_telemetry
        open_telemetry()
        with init_log("api"), step("load_models", "vision"):
            pass
        os.environ["_X_AMZN_TRACE_ID"] = (
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        )
        with suppress(StoreFailed), request_log("first", "marie"):
            with step("download_image", "intake"):
                pass
            with step("upload_masks", "store"), step("upload_mask", "store"):
                raise StoreFailed("upper failed.", detail="internal")
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        printed = in_a_process(
            code,
            LAMBDA_TASK_ROOT="/nowhere",
            AWS_XRAY_DAEMON_ADDRESS=f"127.0.0.1:{daemon.getsockname()[1]}",
        )
        daemon.settimeout(10)
        sent = [json.loads(daemon.recv(65536).splitlines()[1]) for _ in range(3)]
        daemon.setblocking(False)
        with pytest.raises(BlockingIOError):
            daemon.recv(65536)
    traced = [line.get("xray_trace_id") for line in printed if "step" in line]
    assert traced == [None] * 4 + ["1-5759e988-bd862e3fe1be46a994272793"] * 6
    download, inner, outer = sent
    assert [one["name"] for one in sent] == ["download_image", "upload_mask", "upload_masks"]
    assert download["parent_id"] == outer["parent_id"] == "53995c3f42cd8ad8"
    assert inner["parent_id"] == outer["id"]
    assert ("fault" in download, inner["fault"], outer["fault"]) == (False, True, True)
    assert "internal" not in json.dumps(sent)
