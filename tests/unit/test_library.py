"""The library: what a caller in Python gets, of a fake vision; the real models have their own."""

from __future__ import annotations

import io
import logging
import os
import pickle
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests import fakes

import tryon_masks
from tryon_masks import BatchItem, MaskMaker, Result, TryonMasksError
from tryon_masks.domain.errors import (
    BrokenPhoto,
    CropCutsMask,
    InvalidRequest,
    LegsNotVisible,
    ModelSetError,
    NoPerson,
    PhotoFetchFailed,
    PhotoNotFound,
    PhotoTooLarge,
    SettingsError,
    UnsupportedPhoto,
)
from tryon_masks.entrypoints import cli
from tryon_masks.outputs.transform import Transform
from tryon_masks.settings import Settings

ROOT = Path(__file__).parents[2]
Make = Callable[..., MaskMaker]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(vision: fakes.FakeVision | None = None, **chosen: Any) -> MaskMaker:
        seeing = vision or fakes.FakeVision()
        monkeypatch.setattr("tryon_masks.library.build_vision", lambda settings: seeing)
        return MaskMaker(**chosen)

    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "me.jpg"
    path.write_bytes(fakes.photo())
    return path


def opened() -> Image.Image:
    return Image.open(io.BytesIO(fakes.photo()))


def test_both_masks_lie_on_the_photos_own_grid(make: Make, file: Path) -> None:
    result = make()(file)

    assert result.status == "success"
    assert list(result.masks) == ["upper", "lower"]
    for mask in result.masks.values():
        assert mask.shape == (result.height, result.width)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask).tolist()) == {0, 255}
    assert result.quality.keys() == result.masks.keys()
    assert result.refused == []
    assert result.model_set == "compact"


@pytest.mark.parametrize("as_given", ["path", "text", "bytes", "image", "array"])
def test_a_photo_may_come_in_any_form(make: Make, file: Path, as_given: str) -> None:
    with opened() as image:
        forms: dict[str, Any] = {
            "path": file,
            "text": str(file),
            "bytes": file.read_bytes(),
            "image": image,
            "array": np.asarray(image.convert("RGB")),
        }
        result = make()(forms[as_given], masks=["upper"])

    assert (result.width, result.height) == opened().size
    assert result.masks["upper"].any()


def test_a_pillow_image_is_turned_upright(make: Make) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    turned = io.BytesIO()
    with opened() as image:
        width, height = image.size
        image.transpose(Image.Transpose.ROTATE_90).save(turned, "PNG", exif=tags)

    with Image.open(turned) as image:
        result = make()(image)

    assert (result.width, result.height) == (width, height)


@pytest.mark.parametrize(
    ("photo", "error"),
    [
        ("nowhere.jpg", PhotoNotFound),
        (".", PhotoFetchFailed),
        ("\0", PhotoFetchFailed),
        (b"no photo", UnsupportedPhoto),
        (fakes.photo()[:-200], BrokenPhoto),
        (np.zeros((100, 100), np.uint8), InvalidRequest),
        (np.zeros((100, 100, 3), np.float32), InvalidRequest),
        (np.zeros((10, 100, 3), np.uint8), UnsupportedPhoto),
        (Image.new("1", (9000, 9000)), PhotoTooLarge),
        (None, InvalidRequest),
    ],
)
def test_a_photo_that_cannot_be_used_is_an_error_of_the_one_tree(
    make: Make, photo: Any, error: type[TryonMasksError]
) -> None:
    with pytest.raises(error):
        make()(photo)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"masks": ["trousers"]}, "masks"),
        ({"masks": []}, "masks"),
        ({"profile": "loose"}, "profile"),
        ({"expand": {"top": 2.0}}, "expand.top"),
        ({"expand": {"middle": 0.1}}, "expand.middle"),
        ({"person": "largest", "person_box": (0, 0, 9, 9)}, "person_box"),
    ],
)
def test_a_wrong_option_is_named(make: Make, options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        make()(fakes.photo(), **options)


def test_what_cannot_be_made_is_refused_with_a_reason(make: Make) -> None:
    result = make(fakes.FakeVision(without=fakes.LEG_POINTS))(fakes.photo())

    assert result.status == "partial"
    assert list(result.masks) == ["upper"]
    (refused,) = result.refused
    assert (refused.mask, refused.code) == ("lower", "LEGS_NOT_VISIBLE")


def test_nobody_is_no_person_and_no_mask(make: Make) -> None:
    result = make(fakes.FakeVision(people=0))(fakes.photo())

    assert (result.status, result.person, result.people) == ("refused", None, [])
    assert {one.code for one in result.refused} == {NoPerson.code}
    assert result.overlay().size == opened().size


def test_of_several_people_one_is_chosen_by_the_box_that_was_told(make: Make) -> None:
    maker = make(fakes.FakeVision(people=2))
    told = maker(fakes.photo())

    assert {one.code for one in told.refused} == {"SEVERAL_PEOPLE"}
    assert len(told.people) == 2
    assert maker(fakes.photo(), person_box=told.people[1].box).status == "success"
    assert maker(fakes.photo(), person="largest").status == "success"


def test_the_person_is_in_the_photos_pixels(make: Make) -> None:
    # Larger than the grid that the models work on.
    with opened() as image:
        width, height = image.width * 5, image.height * 5
        result = make()(image.resize((width, height)))

    assert result.person is not None
    assert result.person.part_map.shape == (height, width)
    assert result.person.confidence.shape == (height, width)
    nose = result.person.keypoints["nose"]
    small = make()(fakes.photo()).person
    assert small is not None
    assert nose.x == pytest.approx(5 * small.keypoints["nose"].x, rel=0.1)
    assert result.person.box.height > 2 * small.box.height


def test_masks_are_made_anew_without_the_models(make: Make) -> None:
    vision = fakes.FakeVision()
    result = make(vision)(fakes.photo())
    seen = len(vision.shown)

    hull = result.reshape(profile="hull", expand={"top": 0.1})
    only = hull.reshape(masks=["full"], edge="soft", max_side=64)

    assert len(vision.shown) == seen
    assert hull.masks["upper"].sum() > result.masks["upper"].sum()
    assert list(only.masks) == ["full"]
    assert max(only.masks["full"].shape) == 64
    with pytest.raises(InvalidRequest, match="profile"):
        result.reshape(profile="loose")


def test_reshaping_with_nothing_changed_gives_the_same_masks(make: Make) -> None:
    result = make()(fakes.photo(), profile="tight", expand={"left": 0.2})

    again = result.reshape()

    for kind, mask in result.masks.items():
        assert np.array_equal(mask, again.masks[kind])


@pytest.mark.parametrize("as_given", ["bytes", "image", "array"])
def test_outputs_are_made_of_the_same_look_on_the_masks_grid(make: Make, as_given: str) -> None:
    vision = fakes.FakeVision()
    file = fakes.photo(width=600, height=800, format="PNG")
    with Image.open(io.BytesIO(file)) as image:
        rgb = np.array(image.convert("RGB"))
        forms: dict[str, Any] = {"bytes": file, "image": image, "array": rgb.copy()}
        result = make(vision)(forms[as_given])
    if as_given == "array":
        forms["array"][:] = 0
    seen = len(vision.shown)

    made = result.outputs("agnostic", "agnostic_rgba", "parse_lip", "keypoints", "skeleton")

    assert len(vision.shown) == seen
    assert set(made) == {
        *(f"{kind}_agnostic" for kind in result.masks),
        *(f"{kind}_agnostic_rgba" for kind in result.masks),
        "parse_lip",
        "keypoints",
        "skeleton",
    }
    masked = result.masks["upper"] == 255
    agnostic = np.asarray(made["upper_agnostic"])
    assert (agnostic[masked] == 128).all()
    assert np.array_equal(agnostic[~masked], rgb[~masked])
    parse, keypoints = made["parse_lip"], made["keypoints"]
    assert isinstance(parse, Image.Image)
    assert (parse.mode, parse.size) == ("P", (600, 800))
    assert isinstance(keypoints, dict)
    assert keypoints["named"]["width"] == 600
    small = result.reshape(masks=["lower"], max_side=200).outputs("agnostic")
    assert [np.shape(np.asarray(one)) for one in small.values()] == [(200, 150, 3)]


def test_wrong_outputs_and_targets_are_named(make: Make) -> None:
    result = make()(fakes.photo())

    with pytest.raises(InvalidRequest, match="outputs"):
        result.outputs("densepose")
    with pytest.raises(InvalidRequest, match="outputs must name each once"):
        result.outputs("skeleton", "skeleton")
    with pytest.raises(InvalidRequest, match="target"):
        result.target("fashn")
    with pytest.raises(InvalidRequest, match=r"stableviton takes .* only: upper"):
        result.target("stableviton", "lower")


def test_where_no_mask_was_made_there_are_no_outputs(make: Make) -> None:
    result = make(fakes.FakeVision(people=0))(fakes.photo())

    assert result.outputs("agnostic", "keypoints") == {}
    with pytest.raises(NoPerson):
        result.target("catvton")


def test_a_target_is_what_the_model_reads(make: Make) -> None:
    vision = fakes.FakeVision()
    result = make(vision)(fakes.photo(width=900, height=1200), masks=["lower"])
    seen = len(vision.shown)

    made = result.target("ootdiffusion", "full")

    assert len(vision.shown) == seen
    assert {path: (one.mode, one.size) for path, one in made.files.items()} == {
        "image": ("RGB", (768, 1024)),
        "mask": ("L", (768, 1024)),
        "agnostic": ("RGB", (768, 1024)),
    }
    assert (made.category, made.needs) == ("dress", ["the garment's picture"])
    assert Transform.from_json(made.transform).photo == (900, 1200)
    assert "test/image/photo_00" in result.target("stableviton").files


def test_a_targets_mask_has_the_targets_profile_unless_told(make: Make) -> None:
    result = make()(fakes.photo(), profile="tight")

    own, body = (
        np.asarray(result.target("fitdit", profile=profile).files["mask"])
        for profile in (None, "body")
    )

    assert ((own == 255) | (body == 0)).all()
    assert (own == 255).sum() > (body == 255).sum()


def test_a_target_that_cannot_be_made_says_why(make: Make) -> None:
    # The figure, stretched so wide that no cut of 3:4 holds its arms.
    wide = make()(fakes.photo(width=900, height=400))
    legless = make(fakes.FakeVision(without=fakes.LEG_POINTS))(fakes.photo())

    with pytest.raises(CropCutsMask):
        wide.target("catvton")
    with pytest.raises(LegsNotVisible):
        legless.target("catvton", "lower")


def test_a_batch_yields_results_and_errors_and_goes_on(make: Make, file: Path) -> None:
    items = list(make().batch([file, b"no photo", fakes.photo()], jobs=2, masks=["upper"]))

    found = {item.index: item for item in items}
    assert sorted(found) == [0, 1, 2]
    assert isinstance(found[1].error, UnsupportedPhoto)
    assert found[1].result is None
    for index in (0, 2):
        result = found[index].result
        assert result is not None
        assert list(result.masks) == ["upper"]
    assert found[0].photo == file


def test_a_batch_takes_photos_no_faster_than_results_are_taken(make: Make) -> None:
    taken = []

    def photos() -> Any:
        for index in range(10):
            taken.append(index)
            yield fakes.photo()

    batch = make().batch(photos(), jobs=2)
    next(batch)
    assert len(taken) <= 3
    batch.close()  # type: ignore[attr-defined]


def test_a_batch_with_no_jobs_is_refused_at_once(make: Make) -> None:
    with pytest.raises(InvalidRequest, match="jobs"):
        make().batch([], jobs=0)


def test_threads_may_share_a_maker(make: Make) -> None:
    maker = make()
    results: list[Result] = []

    def work() -> None:
        results.extend(maker(fakes.photo()) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    assert len({result.request_id for result in results}) == 12
    first = results[0].masks["upper"]
    assert all(np.array_equal(result.masks["upper"], first) for result in results)


def test_a_maker_is_sent_to_other_processes_as_what_was_chosen(make: Make) -> None:
    maker = make(threads=1)

    received = pickle.loads(pickle.dumps(maker))

    assert received is pickle.loads(pickle.dumps(maker))
    assert received(fakes.photo()).status == "success"


def test_a_forked_process_loads_the_models_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = make()
    loaded: list[Settings] = []

    def load(settings: Settings) -> fakes.FakeVision:
        loaded.append(settings)
        return fakes.FakeVision()

    monkeypatch.setattr("tryon_masks.library.build_vision", load)
    monkeypatch.setattr("tryon_masks.library.os.getpid", lambda: -1)
    maker(fakes.photo())
    maker(fakes.photo())
    assert len(loaded) == 1


def test_a_result_can_be_sent_to_other_processes(make: Make) -> None:
    result = make()(fakes.photo())

    received: Result = pickle.loads(pickle.dumps(result))

    assert np.array_equal(received.masks["upper"], result.masks["upper"])
    assert received.reshape(profile="box").status == "success"
    assert received.outputs("skeleton").keys() == {"skeleton"}


def test_every_step_is_a_record_of_the_standard_logger(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="tryon_masks"):
        maker = make()
        result = maker(fakes.photo())
        steps = [one.__dict__["record"]["step"] for one in caplog.records]
        caplog.clear()
        result.reshape(profile="hull")
        reshaped = {one.__dict__["record"]["step"] for one in caplog.records}
    assert steps[0] == "init"
    for name in ("decode_image", "find_people", "parse_person", "shape_mask", "scale_masks"):
        assert steps.count(name) in (2, 4)
        assert name in result.timings
    assert reshaped == {"read_request", "shape_mask", "scale_masks"}


def test_the_settings_of_the_environment_hold_unless_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    with pytest.raises(ModelSetError, match=r"download=True"):
        MaskMaker()
    with pytest.raises(SettingsError, match="MODEL_SET"):
        MaskMaker("other")
    monkeypatch.setenv("ORT_THREADS", "many")
    with pytest.raises(SettingsError, match="ORT_THREADS"):
        MaskMaker()


def test_models_are_fetched_only_when_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Settings] = []
    monkeypatch.setattr("tryon_masks.library.build_models", built.append)

    make()
    assert built == []
    make(download=True)
    assert [one.model_set for one in built] == ["compact"]


def test_the_package_offers_no_more_than_it_says() -> None:
    assert {name: getattr(tryon_masks, name) for name in tryon_masks.__all__} == {
        "BatchItem": BatchItem,
        "MaskMaker": MaskMaker,
        "Result": Result,
        "TryonMasksError": TryonMasksError,
        "__version__": tryon_masks.__version__,
    }
    with pytest.raises(AttributeError):
        _ = tryon_masks.Maker


ELSEWHERE = (
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "boto3",
    "botocore",
    "certifi",
    "cloudinary",
    "google",
    "requests",
    "rich",
    "typer",
    "urllib3",
)
"""What the extras bring."""


def in_a_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "function")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_library_loads_nothing_of_the_extras() -> None:
    """Nor would it find it: each is blocked."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({ELSEWHERE!r}))\n"
    code = "from tryon_masks import MaskMaker\nimport tryon_masks.vision.compact.vision\n"
    in_a_process(blocked + code)
    found = in_a_process(code + "import sys; print(*sys.modules, sep='\\n')").split()
    assert {name.partition(".")[0] for name in found}.isdisjoint(ELSEWHERE)


def test_the_package_alone_loads_nothing_of_others() -> None:
    code = "import sys; before = set(sys.modules); import tryon_masks\n"
    code += "print(*set(sys.modules) - before, sep='\\n')"
    loaded = {name.partition(".")[0] for name in in_a_process(code).split()}
    assert loaded - set(sys.stdlib_module_names) == {"tryon_masks"}


@pytest.mark.parametrize(
    ("module", "argv", "extra"),
    [
        ("typer", ["--help"], "cli"),
        ("typer", ["generate", "a.jpg"], "cli"),
        ("uvicorn", ["serve"], "serve"),
    ],
)
def test_a_command_that_needs_an_extra_says_which(module: str, argv: list[str], extra: str) -> None:
    blocked = f"import sys; sys.modules[{module!r}] = None\n"
    code = f"from tryon_masks.entrypoints import cli; print(cli.main({argv!r}, environ={{}}))"

    said = in_a_process(f"{blocked}sys.stderr = sys.stdout\n{code}")

    needed = f"pip install 'tryon-masks[{extra}]'"
    assert said == f"tryon-masks: this needs more packages: {needed}\n2\n"


def test_the_extras_are_those_of_the_package() -> None:
    with (ROOT / "pyproject.toml").open("rb") as opened_file:
        project = tomllib.load(opened_file)["project"]
    assert set(cli.EXTRAS.values()) <= project["optional-dependencies"].keys()
    names = {need.partition("[")[0].partition(">")[0] for need in project["dependencies"]}
    assert names.isdisjoint(cli.EXTRAS)


def test_logging_needs_no_set_up() -> None:
    handlers = logging.getLogger("tryon_masks").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
