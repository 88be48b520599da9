"""Hand-written stand-ins for the ports, and the painted figure that the fake models see."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks.domain.errors import (
    InProgress,
    LogUnavailable,
    PhotoFetchFailed,
    StateUnavailable,
    StoreFailed,
    StoreTimeout,
)
from tryon_masks.domain.parts import Part, PartMap
from tryon_masks.domain.person import Box, Candidate, Person
from tryon_masks.domain.skeleton import Keypoint, Skeleton
from tryon_masks.jobs.submit import BatchSubmitter, JobSubmitter, Submission
from tryon_masks.ports import (
    Batch,
    EncodedImage,
    Job,
    JobState,
    MaskTask,
    Run,
    Task,
    UploadForm,
)

WIDTH, HEIGHT = 300, 400
TORSO = 100.0
BOX = Box(88, 20, 212, 388)

POINTS = {
    "nose": (150, 55),
    "left_eye": (157, 48),
    "right_eye": (143, 48),
    "left_ear": (168, 52),
    "right_ear": (132, 52),
    "left_shoulder": (180, 110),
    "right_shoulder": (120, 110),
    "left_elbow": (196, 160),
    "right_elbow": (104, 160),
    "left_wrist": (202, 206),
    "right_wrist": (98, 206),
    "left_index": (203, 224),
    "right_index": (97, 224),
    "left_hip": (168, 210),
    "right_hip": (132, 210),
    "left_knee": (167, 290),
    "right_knee": (133, 290),
    "left_ankle": (166, 365),
    "right_ankle": (134, 365),
    "left_heel": (164, 374),
    "right_heel": (136, 374),
    "left_big_toe": (172, 382),
    "right_big_toe": (128, 382),
}
"""A front view on a 300 x 400 photo: the person's left is at the photo's right."""

LEG_POINTS = frozenset(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("knee", "ankle", "heel", "big_toe")
)

COLOURS = {
    Part.BACKGROUND: (200, 205, 210),
    Part.HAIR: (60, 40, 30),
    Part.FACE: (225, 180, 150),
    Part.NECK: (220, 175, 145),
    Part.TOP: (180, 40, 50),
    Part.LEFT_ARM: (222, 178, 148),
    Part.RIGHT_ARM: (222, 178, 148),
    Part.LEFT_HAND: (226, 184, 156),
    Part.RIGHT_HAND: (226, 184, 156),
    Part.TROUSERS: (40, 60, 120),
    Part.LEFT_SHOE: (30, 30, 30),
    Part.RIGHT_SHOE: (30, 30, 30),
}


def skeleton(without: frozenset[str] = frozenset()) -> Skeleton:
    """The figure's keypoints; those in ``without`` are missing."""
    return Skeleton(
        {name: Keypoint(x, y, 0.05 if name in without else 0.98) for name, (x, y) in POINTS.items()}
    )


def part_map() -> PartMap:
    """The figure, painted: shape (400, 300)."""
    painted = np.zeros((HEIGHT, WIDTH), np.uint8)
    points = {name: (round(x), round(y)) for name, (x, y) in POINTS.items()}
    for side, hand, arm, shoe in (
        ("left", Part.LEFT_HAND, Part.LEFT_ARM, Part.LEFT_SHOE),
        ("right", Part.RIGHT_HAND, Part.RIGHT_ARM, Part.RIGHT_SHOE),
    ):
        elbow, wrist = points[f"{side}_elbow"], points[f"{side}_wrist"]
        cv2.circle(painted, points[f"{side}_index"], 10, int(hand), -1)
        cv2.line(painted, wrist, points[f"{side}_index"], int(hand), 14)
        cv2.line(painted, elbow, wrist, int(arm), 16)
        cv2.line(painted, points[f"{side}_shoulder"], elbow, int(Part.TOP), 22)
        cv2.line(painted, points[f"{side}_hip"], points[f"{side}_knee"], int(Part.TROUSERS), 30)
        cv2.line(painted, points[f"{side}_knee"], points[f"{side}_ankle"], int(Part.TROUSERS), 24)
        cv2.line(painted, points[f"{side}_heel"], points[f"{side}_big_toe"], int(shoe), 14)
    painted[84:112, 138:163] = Part.NECK
    painted[104:212, 118:183] = Part.TOP
    painted[198:222, 118:183] = np.where(
        np.arange(198, 222)[:, None] < 210, Part.TOP, Part.TROUSERS
    )
    cv2.ellipse(painted, (150, 50), (26, 30), 0, 0, 360, int(Part.HAIR), -1)
    cv2.ellipse(painted, (150, 60), (20, 28), 0, 0, 360, int(Part.FACE), -1)
    return painted


def photo(*, width: int = WIDTH, height: int = HEIGHT, format: str = "JPEG") -> bytes:  # noqa: A002
    """A photo file of the figure."""
    table = np.zeros((256, 3), np.uint8)
    for part, colour in COLOURS.items():
        table[part] = colour
    image = Image.fromarray(table[part_map()]).resize((width, height), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def candidate(*, without: frozenset[str] = frozenset(), score: float = 0.93) -> Candidate:
    """The figure, found, on the 300 x 400 grid."""
    return Candidate(BOX, score, skeleton(without))


class FakeVision:
    """Sees the painted figure, whatever the photo: ``people`` of them, on a grid as wide as it.

    ``without``: keypoints that it misses. ``parts``: what it paints in the figure's place. It
    counts its calls and keeps what it was shown.
    """

    model_set = "fake"

    def __init__(
        self,
        people: int = 1,
        without: frozenset[str] = frozenset(),
        parts: PartMap | None = None,
    ) -> None:
        self.people = people
        self.without = without
        self.parts = part_map() if parts is None else parts
        self.parsed = 0
        self.shown: list[NDArray[np.uint8]] = []

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        self.shown.append(rgb)
        scale = rgb.shape[1] / WIDTH
        one = candidate(without=self.without)
        boxes = [Box(BOX.x0 + 9 * n, BOX.y0, BOX.x1 + 9 * n, BOX.y1) for n in range(self.people)]
        return [replace(one, box=box).scaled(scale) for box in boxes]

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        self.parsed += 1
        self.shown.append(rgb)
        height, width = rgb.shape[:2]
        painted = cv2.resize(self.parts, (width, height), interpolation=cv2.INTER_NEAREST)
        return Person(
            box=chosen.box,
            score=chosen.score,
            skeleton=chosen.skeleton,
            part_map=painted.astype(np.uint8),
            confidence=np.full((height, width), 0.9, np.float32),
        )


class BrokenVision(FakeVision):
    """Fails with something that nobody has foreseen, and says what nobody may read."""

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        raise RuntimeError("secret internals")


class FakeStore:
    """Keeps files in memory. ``failing``: the names of the files that it does not take."""

    def __init__(self, failing: str | None = None, *, slow: bool = False) -> None:
        self.failing = failing
        self.slow = slow
        self.files: dict[str, dict[str, EncodedImage]] = {}

    def save(self, key: str, files: Mapping[str, EncodedImage]) -> dict[str, str]:
        if self.slow:
            raise StoreTimeout
        if self.failing in files:
            raise StoreFailed(f"These masks could not be stored: {self.failing}.")
        self.files[key] = dict(files)
        return {
            name: f"https://masks.example.com/{key}/{name}.{file.extension}"
            for name, file in files.items()
        }


class FakePhotos:
    """Knows the photos of ``known`` and nothing else."""

    def __init__(self, known: Mapping[str, bytes] | None = None) -> None:
        self.known = known or {}
        self.asked: list[str] = []

    def fetch(self, address: str) -> bytes:
        self.asked.append(address)
        if address not in self.known:
            raise PhotoFetchFailed
        return self.known[address]


class FakeStepLog:
    """Keeps the records in memory; fails on demand when opened (``closed``) or written."""

    def __init__(self, *, closed: bool = False, full: bool = False) -> None:
        self.closed = closed
        self.full = full
        self.opened: list[str] = []
        self.written: dict[str, list[Mapping[str, Any]]] = {}

    def open(self, request_id: str, header: Mapping[str, Any]) -> None:
        if self.closed:
            raise LogUnavailable
        self.opened.append(request_id)

    def write(self, request_id: str, records: Sequence[Mapping[str, Any]]) -> None:
        if self.full:
            raise LogUnavailable
        self.written[request_id] = list(records)


class FakeContext:
    """Lambda's context: who was invoked, and ``seconds`` until it is cut."""

    def __init__(self, aws_request_id: str = "0c0e7d9d", seconds: float = 29.0) -> None:
        self.aws_request_id = aws_request_id
        self.seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * self.seconds)


class FakeIdempotency:
    """Remembers in memory; says that the keys of ``busy`` are being worked on."""

    def __init__(self) -> None:
        self.done: dict[str, dict[str, Any]] = {}
        self.busy: set[str] = set()
        self.asked: list[str] = []

    def run(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        self.asked.append(key)
        if key in self.busy:
            raise InProgress
        if key not in self.done:
            self.done[key] = work()
        return self.done[key]


class FakeJobs:
    """Keeps jobs in memory, and every state that one has been in; fails on demand (``lost``)."""

    def __init__(self) -> None:
        self.lost = False
        self.kept: dict[str, Job] = {}
        self.states: list[JobState] = []

    def add(self, job_id: str, owner: str, task: Task) -> Job:
        self._reach()
        assert job_id not in self.kept
        now = "2026-03-02T10:15:30.000Z"
        self.kept[job_id] = Job(job_id, owner, "queued", task, now, now, None)
        return self.kept[job_id]

    def get(self, job_id: str) -> Job | None:
        self._reach()
        return self.kept.get(job_id)

    def get_all(self, job_ids: Sequence[str]) -> dict[str, Job]:
        self._reach()
        return {job_id: self.kept[job_id] for job_id in job_ids if job_id in self.kept}

    def update(
        self,
        job_id: str,
        state: JobState,
        answer: Mapping[str, Any] | None = None,
        *,
        done: bool = False,
    ) -> None:
        self._reach()
        self.states.append(state)
        if job_id in self.kept and not self.kept[job_id].done:
            kept = None if answer is None else json.loads(json.dumps(answer))
            self.kept[job_id] = replace(self.kept[job_id], state=state, answer=kept, done=done)

    def _reach(self) -> None:
        if self.lost:
            raise StateUnavailable


class FakeBatches:
    """Keeps batches in memory, with the state of each item."""

    def __init__(self) -> None:
        self.lost = False
        self.kept: dict[str, Batch] = {}
        self.items: dict[tuple[str, int], JobState] = {}

    def add(self, batch_id: str, owner: str, total: int | None) -> Batch:
        self._reach()
        now = "2026-03-02T10:15:30.000Z"
        counts: dict[JobState, int] = dict.fromkeys(COUNTED, 0)
        self.kept[batch_id] = Batch(batch_id, owner, total, counts, now, now, None)
        return self.kept[batch_id]

    def get(self, batch_id: str) -> Batch | None:
        self._reach()
        return self.kept.get(batch_id)

    def set_item_state(self, batch_id: str, number: int, state: JobState) -> Batch | None:
        self._reach()
        batch = self.kept.get(batch_id)
        before = self.items.get((batch_id, number))
        if batch is None or before == state or before in ("success", "partial", "refused"):
            return batch
        counts = dict(batch.counts)
        counts[state] += 1
        if before is not None:
            counts[before] -= 1
        self.items[batch_id, number] = state
        self.kept[batch_id] = replace(batch, counts=counts, results=None)
        return self.kept[batch_id]

    def close(self, batch_id: str, results: str) -> None:
        self._reach()
        self.kept[batch_id] = replace(self.kept[batch_id], results=results)

    def set_list_item_state(self, batch_id: str, number: int, state: JobState) -> None:
        self._reach()
        self.items.setdefault((batch_id, number), state)

    def count_list_items(self, batch_id: str, total: int) -> dict[JobState, int]:
        self._reach()
        counts: dict[JobState, int] = dict.fromkeys(COUNTED, 0)
        for (of, _), state in self.items.items():
            counts[state] += of == batch_id
        return counts

    def _reach(self) -> None:
        if self.lost:
            raise StateUnavailable


COUNTED: tuple[JobState, ...] = ("running", "success", "partial", "refused", "error")


class FakeBatchFiles:
    """Keeps files in memory, and how often results were written."""

    def __init__(self) -> None:
        self.tasks: dict[str, Sequence[MaskTask]] = {}
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.written = 0

    def put_items(self, batch_id: str, items: Sequence[MaskTask]) -> None:
        self.tasks[batch_id] = items

    def items(self, batch_id: str) -> list[MaskTask]:
        return list(self.tasks[batch_id])

    def put_results(self, batch_id: str, lines: Iterable[Mapping[str, Any]]) -> str:
        self.written += 1
        self.kept[f"results/{batch_id}"] = json.loads(json.dumps(list(lines)))
        return f"results/{batch_id}"

    def parts(self, key: str) -> list[str]:
        return [f"{key}/SUCCEEDED_0.jsonl"]

    def address(self, key: str) -> str:
        return f"https://photos.example.com/{key}?signed"


class FakeRuns:
    """Begins nothing, and says of every run what a test wants."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str, str | None]] = []
        self.run = Run("running", 0, 0, 0, 0, None)

    def start(self, batch_id: str, manifest: str, user_id: str | None) -> None:
        self.started.append((batch_id, manifest, user_id))

    def get(self, batch_id: str) -> Run:
        return self.run


class FakeQueue:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

        self.later: list[tuple[str, int]] = []

    def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(dict(message))

    def send_all(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self.sent += map(dict, messages)

    def redeliver(self, receipt: str, seconds: int) -> None:
        self.later.append((receipt, seconds))


class FakeCallbacks:
    """Keeps what was posted; does not take it while ``failure`` is set."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.failure: Exception | None = None

    def post(self, address: str, body: bytes) -> None:
        if self.failure:
            raise self.failure
        self.posted.append((address, json.loads(body)))


class FakeForms:
    """Signs nothing, and remembers what it was asked for."""

    max_bytes = 1_000_000
    lifetime_s = 60

    def __init__(self) -> None:
        self.made: list[tuple[str, str, dict[str, str]]] = []

    def make(self, key: str, content_type: str, metadata: Mapping[str, str]) -> UploadForm:
        self.made.append((key, content_type, dict(metadata)))
        return UploadForm("https://photos.example.com/", {"key": key, "policy": "signed"})


def submission() -> Submission:
    """Jobs and batches on fakes, both numbered from 1."""
    numbers = count(1)

    def new_id() -> str:
        return f"{next(numbers):032x}"

    queue = FakeQueue()
    return Submission(
        JobSubmitter(FakeJobs(), queue, FakeForms(), new_id),
        BatchSubmitter(queue, FakeBatches(), FakeBatchFiles(), FakeRuns(), new_id),
    )


class FakeProfiles:
    """Keeps what was merged, in order."""

    def __init__(self) -> None:
        self.merged: list[tuple[str, dict[str, str], str]] = []

    def merge_masks(self, user_id: str, masks: Mapping[str, str], request_id: str) -> None:
        self.merged.append((user_id, dict(masks), request_id))
