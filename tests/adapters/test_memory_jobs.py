"""Jobs, batches and uploads in memory: what they forget, and what comes again."""

from __future__ import annotations

import json

import pytest

from tryon_masks.adapters.memory import MemoryFiles, StoredFile
from tryon_masks.adapters.memory_jobs import (
    MemoryBatches,
    MemoryBatchFiles,
    MemoryJobs,
    MemoryQueue,
    MemoryUploads,
)
from tryon_masks.domain.errors import InvalidRequest, PhotoNotFound, PhotoTooLarge
from tryon_masks.ports import JobState, MaskTask

TASK = MaskTask("https://example.com/a.jpg", "ada", {"masks": ["upper"]})
NOTHING: dict[JobState, int] = dict.fromkeys(
    ("running", "success", "partial", "refused", "error"), 0
)
HERE = "http://127.0.0.1:8000"


def test_a_job_goes_on_until_it_is_done() -> None:
    jobs = MemoryJobs()
    assert jobs.get("1") is None
    taken = jobs.add("1", "local", TASK)
    assert jobs.get("1") == taken
    assert (taken.owner, taken.state, taken.task, taken.answer) == ("local", "queued", TASK, None)

    jobs.update("1", "error", {"status": "error"})
    jobs.update("1", "running")
    jobs.update("1", "success", {"masks": {}}, done=True)
    done = jobs.get("1")
    jobs.update("1", "running")
    jobs.update("2", "running")

    assert done is not None
    assert (done.state, done.answer, done.done) == ("success", {"masks": {}}, True)
    assert jobs.get_all(["1", "2"]) == {"1": done}


def test_the_oldest_jobs_are_forgotten() -> None:
    jobs = MemoryJobs(max_jobs=2)
    for job_id in "abc":
        jobs.add(job_id, "local", TASK)
    assert jobs.get_all("abc").keys() == {"b", "c"}


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        ("running", "error", True),
        ("running", "partial", True),
        ("error", "running", True),
        ("error", "success", True),
        ("success", "running", False),
        ("refused", "error", False),
        ("partial", "success", False),
    ],
)
def test_an_item_does_not_go_back_from_what_stays(
    before: JobState, after: JobState, goes: bool
) -> None:
    batches = MemoryBatches()
    batches.add("1", "local", 1)
    batches.set_item_state("1", 0, before)

    batch = batches.set_item_state("1", 0, after)

    assert batch is not None
    assert batch.counts == NOTHING | {after if goes else before: 1}
    assert batch == batches.get("1")


def test_the_results_are_gone_while_an_item_goes_on() -> None:
    batches = MemoryBatches()
    batches.add("1", "local", 1)
    batches.set_item_state("1", 0, "error")
    batches.close("1", "results/1")
    batches.close("2", "results/2")

    same = batches.set_item_state("1", 0, "error")
    on = batches.set_item_state("1", 0, "success")

    assert (same and same.results, on and on.results) == ("results/1", None)
    assert batches.set_item_state("2", 0, "error") is None


def test_items_of_a_list_are_counted() -> None:
    batches = MemoryBatches()
    batches.add("1", "local", None)
    said: list[tuple[int, JobState]] = [(0, "success"), (1, "error"), (2, "success")]
    for number, state in [*said, (1, "refused")]:
        batches.set_list_item_state("1", number, state)
    batches.set_list_item_state("2", 0, "error")
    assert batches.count_list_items("1", 2) == NOTHING | {"success": 1, "refused": 1}
    assert batches.count_list_items("2", 9) == NOTHING


def test_a_batchs_items_are_kept_and_its_results_are_a_file() -> None:
    kept = MemoryFiles()
    files = MemoryBatchFiles(HERE, kept, max_batches=1)
    files.put_items("1", [TASK])
    assert files.items("1") == [TASK]
    files.put_items("2", [TASK, TASK])
    assert files.items("1") == []

    key = files.put_results("2", iter([{"id": "a"}, {"id": "b"}]))

    results = kept.get(key)
    assert results is not None
    assert [json.loads(line)["id"] for line in results.data.splitlines()] == ["a", "b"]
    assert (files.parts(key), files.address(key)) == ([key], f"{HERE}/{key}")


def test_a_message_comes_again_and_counts_how_often() -> None:
    queue = MemoryQueue()
    queue.send_all([{"job_id": "1"}])
    first = queue.take()
    assert first is not None
    queue.redeliver(first.message_id, 0)

    queue.deliver_again(first)
    second = queue.take()
    queue.close()

    assert second is not None
    assert (second.text, second.message_id) == (first.text, first.message_id)
    assert (first.count, second.count) == (1, 2)
    assert queue.take() is None


class Uploads:
    """Forms whose clock a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.files, self.queue = MemoryFiles(), MemoryQueue()
        self.all = MemoryUploads(HERE, self.files, self.queue, 10, 60, lambda: self.seconds)
        self.form = self.all.make("uploads/local/1", "image/jpeg", {"user-id": "ada"})


def test_a_form_brings_its_file_and_says_so_as_s3_does() -> None:
    uploads = Uploads()
    assert uploads.form.url == f"{HERE}/uploads"

    uploads.all.accept(uploads.form.fields, b"photo")

    assert uploads.all.get("memory", "uploads/local/1", 10) == (b"photo", {"user-id": "ada"})
    message = uploads.queue.take()
    assert message is not None
    (record,) = json.loads(message.text)["Records"]
    assert record["s3"]["object"]["key"] == "uploads/local/1"


def test_a_form_works_for_its_file_and_its_time_only() -> None:
    uploads = Uploads()
    with pytest.raises(PhotoTooLarge):
        uploads.all.accept(uploads.form.fields, b" " * 11)
    with pytest.raises(InvalidRequest):
        uploads.all.accept({**uploads.form.fields, "token": "\u00e4"}, b"photo")
    with pytest.raises(InvalidRequest):
        uploads.all.accept({}, b"photo")
    uploads.seconds = 61.0
    with pytest.raises(InvalidRequest):
        uploads.all.accept(uploads.form.fields, b"photo")


def test_an_upload_that_is_gone_or_too_large_is_said() -> None:
    uploads = Uploads()
    with pytest.raises(PhotoNotFound):
        uploads.all.get("memory", "uploads/local/1", 10)
    uploads.all.accept(uploads.form.fields, b"photo")
    with pytest.raises(PhotoTooLarge):
        uploads.all.get("memory", "uploads/local/1", 4)


def test_of_too_many_bytes_the_oldest_files_go() -> None:
    files = MemoryFiles(max_bytes=10)
    files.put({"a": StoredFile(b"aaaa", "image/png"), "b": StoredFile(b"bbbb", "image/png")})
    files.put({"b": StoredFile(b"bb", "image/png"), "c": StoredFile(b"cccccc", "image/png")})
    assert files.get("a") is None
    assert files.get("b") == StoredFile(b"bb", "image/png")
    files.put({"d": StoredFile(b"d" * 20, "image/png")})
    assert (files.get("c"), files.get("d")) == (None, StoredFile(b"d" * 20, "image/png"))
