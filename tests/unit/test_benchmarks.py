"""The benchmarks: every figure on arrays whose answer one can work out by hand."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import masks, model_sets, soak, speed
from benchmarks.making import UnreadableMask, make_one, mask_file, read_mask
from benchmarks.scorecard import (
    FIGURES,
    BoolMask,
    Dataset,
    Figure,
    Scores,
    Truth,
    repainted,
    score,
    summarise,
    worst_photos,
)
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.sheets import cards_in

from tryon_masks.adapters.directory import DirectoryMaskStore
from tryon_masks.domain.person import Candidate, Person
from tryon_masks.images import Limits
from tryon_masks.service import MaskOptions, MaskService
from tryon_masks.telemetry import step

NAMES = ("null", "hair", "shirt", "jeans", "dress", "shoes", "skin", "purse")
FACE, NECK = 1, 2
HIP = 60.0


def truth(labels: dict[str, Any] | None = None, parts: dict[int, Any] | None = None) -> Truth:
    """A photo of 100 x 100 pixels with the given label and part rectangles, hip line at 60."""
    marked, split = np.zeros((2, 100, 100), np.uint8)
    for name, where in (labels or {}).items():
        marked[where] = NAMES.index(name)
    for part, where in (parts or {}).items():
        split[where] = part
    return Truth(marked, split, NAMES, HIP)


def mask(*where: Any) -> BoolMask:
    """A mask of 100 x 100 pixels over the given rectangles."""
    pixels = np.zeros((100, 100), bool)
    for one in where:
        pixels[one] = True
    return pixels


def test_recall_spill_and_area_are_shares_of_garment_mask_and_frame() -> None:
    photo = truth({"shirt": np.s_[20:40, :], "jeans": np.s_[60:80, :]})
    over = mask(np.s_[20:40, :50], np.s_[40:50, :50])

    upper = score({"upper": over, "lower": mask(np.s_[60:65, :])}, photo)["upper"]

    assert upper["upper_garment_recall"] == 0.5
    assert upper["background_spill"] == pytest.approx(1 / 3)
    assert upper["area"] == 0.15
    assert upper["lower_garment_cover"] == 0.0


def test_the_core_of_a_region_leaves_two_pixels_at_its_edge_out() -> None:
    face = np.s_[20:60, 20:60]
    ring = mask(face)
    ring[22:58, 22:58] = False

    upper = score({"upper": ring, "lower": None}, truth(parts={FACE: face}))["upper"]

    assert upper["face_cover"] == pytest.approx(1 - 36**2 / 40**2)
    assert upper["face_core_cover"] == 0.0


def test_the_frame_is_no_edge_of_a_core() -> None:
    photo = truth({"hair": np.s_[:20, :]})
    upper = score({"upper": mask(np.s_[:1, :]), "lower": None}, photo)["upper"]
    assert upper["hair_core_cover"] == pytest.approx(100 / 1800)


def test_a_dress_counts_as_upper_above_the_hip_and_as_lower_below() -> None:
    photo = truth({"dress": np.s_[30:80, :]})
    half = mask(np.s_[30:45, :], np.s_[60:65, :])

    scores = score({"upper": half, "lower": half}, photo)

    assert scores["upper"]["dress_above_hip_recall"] == 0.5
    assert scores["lower"]["dress_above_hip_cover"] == 0.5
    assert scores["lower"]["dress_below_hip_recall"] == 0.25


def test_a_hem_below_the_hip_is_the_lower_mask_s_cost() -> None:
    photo = truth({"shirt": np.s_[20:80, :]})

    lower = score({"upper": None, "lower": mask(np.s_[70:90, :])}, photo)["lower"]

    assert lower["upper_above_hip_cover"] == 0.0
    assert lower["upper_below_hip_cover"] == 0.5


@pytest.mark.parametrize("no_mask", [None, mask()])
def test_a_mask_that_is_not_there_has_no_recall_and_no_cover(no_mask: BoolMask | None) -> None:
    photo = truth({"shirt": np.s_[20:40, :], "hair": np.s_[:10, :]})
    upper = score({"upper": no_mask, "lower": None}, photo)["upper"]
    assert upper["upper_garment_recall"] == 0.0
    assert upper["hair_cover"] is None
    assert upper["background_spill"] is None
    assert upper["area"] is None


@pytest.mark.parametrize(("rows", "columns", "recall"), [(7, 9, None), (8, 8, 1.0)])
def test_a_region_counts_from_64_pixels(rows: int, columns: int, recall: float | None) -> None:
    photo = truth(parts={NECK: np.s_[:rows, :columns]})
    upper = score({"upper": mask(np.s_[:, :]), "lower": None}, photo)["upper"]
    assert upper["neck_recall"] == recall


def test_a_mask_of_another_size_is_carried_to_the_labels_grid() -> None:
    small = np.zeros((50, 50), np.uint8)
    small[10:20, :] = 255
    assert (repainted(small, (100, 100)) == mask(np.s_[20:40, :])).all()


def one_figure(name: str, *values: float | None) -> list[Scores]:
    """Scores of as many photos, of which only one figure of the upper mask is known."""
    blank: Scores = {
        kind: dict.fromkeys(figure.name for figure in figures) for kind, figures in FIGURES.items()
    }
    return [{**blank, "upper": {**blank["upper"], name: value}} for value in values]


def test_the_worst_twentieth_is_at_the_low_end_of_a_recall() -> None:
    values = [n / 100 for n in range(101)]
    line = summarise(one_figure("neck_recall", None, *values))["upper"]["neck_recall"]
    assert line is not None
    assert (line.mean, line.median, line.worst, line.n) == pytest.approx((0.5, 0.5, 0.05, 101))


def test_the_worst_twentieth_is_at_the_high_end_of_a_cover() -> None:
    values = [n / 100 for n in range(101)]
    line = summarise(one_figure("hair_cover", *values))["upper"]["hair_cover"]
    assert line is not None
    assert line.worst == pytest.approx(0.95)


def test_a_figure_that_no_photo_has_is_left_open() -> None:
    assert summarise(one_figure("neck_recall", None))["upper"]["neck_recall"] is None


def test_the_worst_photo_is_the_one_furthest_beyond_its_bound() -> None:
    scores = {
        "fine": one_figure("neck_recall", 0.94)[0],
        "bad": one_figure("neck_recall", 0.80)[0],
        "worse": one_figure("hair_core_cover", 0.70)[0],
        "unbound": one_figure("hair_cover", 1.0)[0],
    }
    worst = worst_photos(scores, 10)
    assert [(one.photo, one.figure.name) for one in worst] == [
        ("worse", "hair_core_cover"),
        ("bad", "neck_recall"),
    ]
    assert [one.photo for one in worst_photos(scores, 1)] == ["worse"]


class Folder:
    """A dataset of two scored photos and one that nobody annotated, and a folder of masks."""

    def __init__(self, root: Path) -> None:
        self.root = root / "dataset"
        self.masks = root / "masks"
        for name in ("photos", "labels", "regions"):
            (self.root / name).mkdir(parents=True)
        self.masks.mkdir()
        annotations = {}
        photo = truth({"shirt": np.s_[20:40, :]}, {NECK: np.s_[10:20, :]})
        for number, ok in (("0001", True), ("0011", True), ("0012", False)):
            Image.fromarray(photo.labels).save(self.root / "labels" / f"{number}.png")
            Image.fromarray(photo.parts).save(self.root / "regions" / f"{number}.png")
            Image.new("RGB", (100, 100), "grey").save(self.root / "photos" / f"{number}.jpg")
            annotations[number] = {"ok": ok, "hip_y": HIP}
        (self.root / "labels.json").write_text(json.dumps(NAMES))
        (self.root / "regions.json").write_text(json.dumps(annotations))

    def put(self, name: str, pixels: BoolMask) -> None:
        """Write one mask."""
        Image.fromarray(pixels.astype(np.uint8) * np.uint8(255)).save(self.masks / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_every_way_to_fail_is_listed(folder: Folder) -> None:
    folder.put("0001.upper", mask())
    folder.put("0001.lower", mask(np.s_[:61, :]))
    folder.put("0011.upper", np.ones((50, 50), bool) & (np.arange(50) < 20))
    (folder.masks / "0011.lower.png").write_bytes(b"no image")

    failures = masks.evaluate(Dataset(folder.root), folder.masks, None, {}).failures

    assert vars(failures) == {
        "missing": [],
        "unreadable": ["0011.lower"],
        "empty": ["0001.upper"],
        "over_60_percent": ["0001.lower"],
        "other_size": ["0011.upper"],
        "not_annotated": ["0012"],
    }


def test_the_ending_chooses_photos_by_their_last_digit(folder: Folder) -> None:
    dataset = Dataset(folder.root)
    assert list(dataset.photos("1")) == ["0001", "0011"]
    assert list(dataset.photos("2")) == []
    assert dataset.unannotated("2") == ["0012"]


def test_a_missing_mask_is_reported_with_its_refusal(folder: Folder) -> None:
    refused = {"0001": {"lower": "LEGS_NOT_VISIBLE"}}
    report = masks.evaluate(Dataset(folder.root), folder.masks, "1", refused)
    text = masks.as_text(report)
    assert "| missing | 4 | 0001.upper 0001.lower (LEGS_NOT_VISIBLE) 0011.upper" in text
    assert "| upper_garment_recall | 0.0000 | 0.0000 | 0.0000 | 2 | >= 0.95 **missed** |" in text


def test_the_command_scores_a_folder_and_draws_the_worst(
    folder: Folder, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for photo, shirt in (("0001", 40), ("0011", 30)):
        folder.put(f"{photo}.upper", mask(np.s_[10:shirt, :]))
        folder.put(f"{photo}.lower", mask(np.s_[60:90, 40:60]))
    sheet = tmp_path / "sheets" / "worst.html"
    given = [str(folder.root), "--masks", str(folder.masks), "--sheet", str(sheet), "--json"]

    assert masks.main(given) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["table"]["upper"]["upper_garment_recall"] == {
        "mean": 0.75,
        "median": 0.75,
        "worst": 0.525,
        "n": 2,
    }
    assert found["per_photo"]["0011"]["upper"]["neck_recall"] == 1.0
    assert found["worst"][0]["photo"] == "0001"
    first, second = cards_in(sheet)
    assert (first["name"], second["name"]) == ("0001", "0011")
    assert first["note"] == "lower.background_spill 1.000"
    assert first["made"]["lower"] == {"coverage": 0.06, "confidence": None}
    assert first["pictures"]["masks"].keys() == {"upper", "lower"}


def test_a_sheet_says_which_masks_are_missing_or_unreadable(folder: Folder) -> None:
    (folder.masks / "0001.upper.png").write_bytes(b"no image")
    codes = {"0001": {"lower": "LEGS_NOT_VISIBLE"}}
    dataset = Dataset(folder.root)
    report = masks.evaluate(dataset, folder.masks, "1", codes)

    cards = masks.worst_cards(report, dataset.photos("1"), folder.masks)

    refused = {card.name: [one.code for one in card.refused] for card in cards}
    assert refused == {"0001": ["UNREADABLE", "LEGS_NOT_VISIBLE"], "0011": ["MISSING", "MISSING"]}
    assert [card.status for card in cards] == ["refused", "refused"]


@pytest.mark.parametrize(
    "given",
    [
        ["{root}/nowhere"],
        ["{root}/dataset", "--ending", "7"],
        ["{root}/dataset", "--masks", "{root}/nowhere"],
        ["{root}/dataset", "--masks", "{root}/masks", "--sheet", "worst.jpg"],
        ["{root}/dataset", "--jobs", "0"],
    ],
)
def test_wrong_usage_stops_before_any_work(
    folder: Folder, given: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        masks.main([one.format(root=folder.root.parent) for one in given])
    assert stopped.value.code == 2
    assert capsys.readouterr().out == ""


def service(out: Path, vision: fakes.FakeVision) -> MaskService:
    return MaskService(vision, DirectoryMaskStore(out), fakes.FakePhotos(), limits=Limits())


def photo_file(folder: Path, content: bytes | None = None) -> Path:
    path = folder / "photo.jpg"
    path.write_bytes(fakes.photo() if content is None else content)
    return path


def test_masks_are_made_under_the_photos_key(tmp_path: Path) -> None:
    photo = photo_file(tmp_path)
    made = make_one(service(tmp_path, fakes.FakeVision()), "0001", photo, tmp_path, MaskOptions())
    assert made == {}
    assert read_mask(mask_file(tmp_path, "0001", "upper")).shape == (fakes.HEIGHT, fakes.WIDTH)
    assert mask_file(tmp_path, "0001", "lower").exists()


def test_a_refused_mask_does_not_leave_an_earlier_one_to_be_scored(tmp_path: Path) -> None:
    photo, options = photo_file(tmp_path), MaskOptions()
    make_one(service(tmp_path, fakes.FakeVision()), "0001", photo, tmp_path, options)

    no_legs = fakes.FakeVision(without=fakes.LEG_POINTS)
    refused = make_one(service(tmp_path, no_legs), "0001", photo, tmp_path, options)

    assert refused == {"lower": "LEGS_NOT_VISIBLE"}
    assert mask_file(tmp_path, "0001", "upper").exists()
    assert not mask_file(tmp_path, "0001", "lower").exists()


def test_a_photo_that_cannot_be_read_is_a_refusal_of_both_masks(tmp_path: Path) -> None:
    photo = photo_file(tmp_path, b"no image")
    refused = make_one(
        service(tmp_path, fakes.FakeVision()), "0001", photo, tmp_path, MaskOptions()
    )
    assert refused == {"upper": "UNSUPPORTED_PHOTO", "lower": "UNSUPPORTED_PHOTO"}


def test_a_bug_stops_the_benchmark_and_names_the_photo(tmp_path: Path) -> None:
    broken = service(tmp_path, fakes.BrokenVision())
    with pytest.raises(RuntimeError) as stopped:
        make_one(broken, "0001", photo_file(tmp_path), tmp_path, MaskOptions())
    assert stopped.value.__notes__ == ["The photo was photo.jpg."]


def test_a_file_that_is_no_mask_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    Image.new("L", (100, 100)).save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(UnreadableMask):
        read_mask(broken)
    with pytest.raises(FileNotFoundError):
        read_mask(tmp_path / "nothing.png")


class SteppingVision(fakes.FakeVision):
    """Logs the steps that the real models log."""

    model_set = "compact"

    def find_people(self, rgb: NDArray[np.uint8]) -> list[Candidate]:
        for name in ("detect_people", "estimate_poses"):
            with step(name, "fake"):
                pass
        return super().find_people(rgb)

    def parse(
        self, rgb: NDArray[np.uint8], chosen: Candidate, others: Sequence[Candidate]
    ) -> Person:
        for name in ("parse_garments", "compose_parts"):
            with step(name, "fake"):
                pass
        return super().parse(rgb, chosen, others)


def test_every_run_gives_a_time_for_every_stage(tmp_path: Path) -> None:
    times = speed.serve_often(service(tmp_path, SteppingVision()), fakes.photo(), 3)
    seeing = speed.INFERENCE_STEPS["compact"]
    assert set(times) == {*speed.BEFORE, *seeing, *speed.AFTER, speed.TOTAL, speed.CPU}
    assert all(len(runs) == 3 for runs in times.values())
    assert min(times[speed.TOTAL]) > 0


def test_a_stage_that_was_not_logged_is_an_error(tmp_path: Path) -> None:
    silent = fakes.FakeVision()
    silent.model_set = "compact"
    with pytest.raises(KeyError, match="detect_people"):
        speed.serve(service(tmp_path, silent), fakes.photo())


def test_a_refused_mask_is_no_measurement(tmp_path: Path) -> None:
    vision = SteppingVision(without=fakes.LEG_POINTS)
    with pytest.raises(RuntimeError, match="LEGS_NOT_VISIBLE"):
        speed.serve(service(tmp_path, vision), fakes.photo())


def measured(threads: int, *seconds: float, peak_mb: float = 2000.0) -> speed.Measured:
    return speed.Measured(
        width=768,
        height=1024,
        photo_bytes=1,
        threads=threads,
        runs=len(seconds),
        start_s=1.0,
        first_s=1.0,
        stages={stage: list(seconds) for stage in (*speed.INFERENCE_STEPS["compact"], speed.TOTAL)},
        loaded_mb=1000.0,
        peak_mb=peak_mb,
        load=(0.5, 1.0),
    )


def test_median_and_p95() -> None:
    assert speed.median_and_p95([n / 100 for n in range(101)]) == pytest.approx((0.5, 0.95))


def test_gb_seconds_are_memory_times_billed_seconds() -> None:
    price = speed.cost(measured(1, 0.8, 0.9004, 5.0), 2048)
    assert price.billed_s == 0.901
    assert price.gb_seconds == pytest.approx(1.802)
    assert price.price == pytest.approx(1.802 * 0.0000166667 + 0.0000002)


@pytest.mark.parametrize(
    ("threads", "memory_mb", "billed_s"), [(1, 1769, 1.0), (2, 1769, 2.0), (2, 3538, 1.0)]
)
def test_time_grows_where_the_memory_buys_fewer_vcpus_than_cores(
    threads: int, memory_mb: int, billed_s: float
) -> None:
    assert speed.cost(measured(threads, 1.0), memory_mb).billed_s == billed_s


def test_a_memory_that_the_peak_exceeds_does_not_fit() -> None:
    one = measured(1, 1.0, peak_mb=1769.5)
    assert not speed.cost(one, 1769).fits
    assert speed.cost(one, 1770).fits
    assert "| no: needs 1770 MB |" in speed.as_text([one], [1769], "a machine")


def test_each_memory_is_priced_with_the_threads_that_it_pays_for() -> None:
    found = [measured(1, 3.0), measured(2, 2.0)]
    costs = [one["costs"] for one in speed.as_json(found, [1769, 3008], "a machine")["measured"]]
    assert [[cost["memory_mb"] for cost in one] for one in costs] == [[1769], [3008]]


def test_the_tables_quote_median_and_p95_and_the_load() -> None:
    text = speed.as_text([measured(2, 1.0, 2.0, 3.0)], [3538], "a machine")
    assert text.startswith("a machine\n")
    assert "| parse_garments | 2.000 / 2.900 |" in text
    assert "| load average before, after | 0.50, 1.00 |" in text


def test_the_benchmark_photo_is_cut_to_the_aspect_that_is_asked_for(tmp_path: Path) -> None:
    data = speed.resized(photo_file(tmp_path), (60, 90))
    (tmp_path / "small.jpg").write_bytes(data)
    with Image.open(tmp_path / "small.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (60, 90))


def test_a_bound_is_a_floor_for_a_recall_and_a_ceiling_for_the_rest() -> None:
    assert Figure("neck_recall", 0.9).excess(0.7) == pytest.approx(0.2)
    assert Figure("hair_cover", 0.1).excess(0.7) == pytest.approx(0.6)
    assert Figure("hair_cover").excess(1.0) < 0


GOOD = soak.Case("good", {}, is_photo=True)


def after(calls: int, **changes: Any) -> list[soak.CallRecord]:
    """A run of good calls, each of which leaves one MB behind; the changes are of every call."""
    return [
        soak.CallRecord(
            **{
                "case": GOOD,
                "outcome": "200 success",
                "seconds": float(number),
                "rss": number * 2**20,
                "files": 5,
                "threads": 3,
                **changes,
            }
        )
        for number in range(calls)
    ]


def test_a_megabyte_a_call_is_a_thousand_a_thousand_calls() -> None:
    found = soak.figures(after(40))

    assert found.slope_mb == pytest.approx(1000)
    assert (found.start_mb, found.end_mb, found.peak_mb) == (10, 39, 39)
    assert (found.calls, found.warm, found.files, found.threads) == (40, 10, (5, 5), (3, 3))


def test_memory_that_stays_has_no_slope() -> None:
    assert soak.figures(after(40, rss=2**28)).slope_mb == pytest.approx(0, abs=1e-6)


def test_the_first_and_the_last_hundred_photos_are_told() -> None:
    bad = soak.CallRecord(soak.Case("bad", {}), "400 INVALID_REQUEST", 1e6, 0, 5, 3)

    found = soak.figures([*after(500), bad])

    assert found.first[0] == pytest.approx(50 + 49.5)
    assert found.last[0] == pytest.approx(400 + 49.5)
    assert found.last[1] == pytest.approx(498.01)


def test_an_answer_that_changes_and_a_fault_are_told() -> None:
    fault = soak.CallRecord(GOOD, "500 INTERNAL", 1, 0, 5, 3)

    found = soak.figures([*after(20), fault])

    assert found.unstable == ["good"]
    assert found.faults == 1
    assert found.outcomes == {"good": {"200 success": 20, "500 INTERNAL": 1}}


def test_three_calls_in_ten_are_bad_and_take_turns() -> None:
    names = [
        case.name
        for case in soak.order(
            [soak.Case("a", {}), soak.Case("b", {})], [soak.Case("x", {}), soak.Case("y", {})], 20
        )
    ]

    assert "".join(names) == "abaxbaybaxbabyabxaby"


def test_a_soak_without_photos_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["/nowhere"], [__file__, "--calls", "19"]):
        with pytest.raises(SystemExit) as caught:
            soak.main(argv)
        assert caught.value.code == 2


SIDES = {"compact": 768, "on a crop": 1024, "int8": 1024}


@pytest.mark.parametrize("variant", SIDES)
def test_each_variant_sees_photos_on_its_own_grid(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = fakes.FakeVision()
    monkeypatch.setattr(model_sets, "build_vision", lambda _settings: vision)
    monkeypatch.setattr(model_sets, "load_model_set", lambda *_given: None)
    monkeypatch.setattr(model_sets, "DwposeSchpVision", lambda *_given, **_options: vision)

    model_sets.opened(variant, Path("graphs"), 1)(fakes.photo(width=900, height=1200))

    assert {max(rgb.shape) for rgb in vision.shown} == {SIDES[variant]}


def test_a_soak_sees_photos_on_the_model_sets_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vision = fakes.FakeVision()
    monkeypatch.setattr(soak, "build_vision", lambda _settings: vision)
    monkeypatch.delenv("MODEL_SET", raising=False)
    handler = soak.open_handler(0, tmp_path)
    photo = base64.b64encode(fakes.photo(width=900, height=1200)).decode()

    event = json.loads(soak.EVENT.read_text()) | {"body": json.dumps({"image": photo})}

    assert handler(event, soak.Context())["statusCode"] == 200
    assert {max(rgb.shape) for rgb in vision.shown} == {768}
