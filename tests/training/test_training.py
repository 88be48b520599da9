"""Training in small: it learns, goes on where it was stopped, and the runtime reads its file.

Needs the training's own environment, see ``models/garment_parser/README.md``.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import figures
from tests.vision.compact.painted import Scene, photo

from tryon_masks.domain.parts import Part
from tryon_masks.vision.compact.blazepose import LANDMARKS
from tryon_masks.vision.compact.classes import CLASSES, Class
from tryon_masks.vision.compact.garment_parser import GarmentParser
from tryon_masks.vision.runtime import Model

torch = pytest.importorskip("torch", reason="the training's environment is not this one")

from models.garment_parser import data, export, quantise, train  # noqa: E402
from models.garment_parser.network import Parser, flip_tta, starting  # noqa: E402

Labels = NDArray[np.uint8]

pytestmark = [pytest.mark.training, pytest.mark.filterwarnings("default")]

WORN = [name for names in data.WORN.values() for name in names.split()]
NAMES = ["null", "skin", "necklace", *WORN[1:]]
IDS = [*range(2, 10), 11]
"""Eight photos to learn from, and one of the validation."""
REGION_OF = {cls: region for region, cls in data.REGIONS.items()}


def labels_and_regions(classes: Labels, *, barefoot: bool) -> tuple[Labels, Labels]:
    """As the data set has them: skin is one label, and the regions say whose."""
    label, region = np.zeros_like(classes), np.zeros_like(classes)
    for cls in CLASSES:
        here = classes == cls
        if cls in REGION_OF and (barefoot or cls is not Class.SHOE):
            label[here], region[here] = NAMES.index("skin"), REGION_OF[cls]
        else:
            label[here] = NAMES.index(data.WORN[cls].split()[0])
    return label, region


@pytest.fixture(scope="module")
def ccp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The painted figure, nine times, somewhat larger and further on every time."""
    root = tmp_path_factory.mktemp("ccp")
    for name in ("photos", "labels", "regions", "people"):
        (root / name).mkdir()
    about = {}
    for number in IDS:
        scene = Scene(220, 170, 0.5 + 0.005 * number, number, number)
        painted = figures.equipped() if number % 2 else figures.bare_legged()
        painted[380:, :] = Part.BACKGROUND
        classes = figures.classes(scene.parts(painted))
        # One patch of everything, so that every class is in every photo.
        for cls in CLASSES:
            classes[206:218, 8 * cls : 8 * cls + 8] = cls
        label, region = labels_and_regions(classes, barefoot=number % 2 == 0)
        Image.fromarray(photo(classes)).save(root / "photos" / f"{number:04}.jpg", quality=95)
        Image.fromarray(label).save(root / "labels" / f"{number:04}.png")
        Image.fromarray(region).save(root / "regions" / f"{number:04}.png")
        body = 255 * (classes > 0).astype(np.uint8)
        Image.fromarray(body).save(root / "people" / f"{number:04}.png")
        points = scene.candidate().skeleton.keypoints
        landmarks = np.zeros((33, 4))
        for name, i in LANDMARKS.items():
            if name in points:
                landmarks[i] = points[name].x, points[name].y, 1.0, points[name].score
        about[f"{number:04}"] = {"ok": True, "landmarks": landmarks.tolist()}
    (root / "labels.json").write_text(json.dumps(NAMES))
    (root / "regions.json").write_text(json.dumps(about))
    return root


def start(ccp: Path, out: Path, *more: str) -> None:
    """From the command line: two epochs of 32 small samples."""
    told = ["--epochs", "96x2", "--samples", "32", "--batch", "8", "--rate", "4e-3", *more]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv", ["train", str(ccp), str(ccp / "people"), str(out), *told, "--threads", "1"]
        )
        train.main()


def test_the_selfie_model_needs_a_teacher(
    ccp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        start(ccp, tmp_path / "out", "--selfie", "selfie.onnx")

    assert caught.value.code == 2
    assert "--teacher" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def epochs(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


class Stopped(Exception):
    """The night is over too soon."""


@pytest.fixture(scope="module")
def trained(ccp: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs, stopped in the second and started again."""
    out = tmp_path_factory.mktemp("trained")
    update_ema, steps = train.update_ema, iter(range(100))

    def stopping(*arguments: Any) -> None:
        if next(steps) == 5:
            raise Stopped
        update_ema(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "update_ema", stopping)
        with pytest.raises(Stopped):
            start(ccp, out)
    assert [one["epoch"] for one in epochs(out)] == [1]
    assert not (out / "best.pt").exists()
    start(ccp, out)
    return out


def test_the_loss_falls_and_no_epoch_is_trained_twice(trained: Path) -> None:
    first, second = epochs(trained)

    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert 0 < second["loss"] < first["loss"]
    assert 0 <= second["miou"] <= 1


def test_it_goes_on_with_the_weights_and_the_schedule_that_it_had(trained: Path) -> None:
    last = torch.load(trained / "last.pt", map_location="cpu")

    assert last["epoch"] == 2
    (rate,) = {group["lr"] for group in last["optimizer"]["param_groups"][1:]}
    assert rate == pytest.approx(4e-3 * train.learning_rate_factor(7 / 8))
    counted = {int(state["step"]) for state in last["optimizer"]["state"].values()}
    assert counted == {2 * 32 // 8}


def test_what_is_frozen_stays_as_it_was(ccp: Path, trained: Path, tmp_path: Path) -> None:
    start(ccp, tmp_path, "--init", str(trained / "best.pt"), "--freeze", "2")

    before, after = torch.load(trained / "best.pt"), torch.load(tmp_path / "best.pt")
    for name in before:
        same = torch.equal(before[name], after[name])
        assert same or not name.startswith(("stem", "blocks.0.", "blocks.1.")), name
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_the_fine_head_can_be_trained_alone(ccp: Path, trained: Path, tmp_path: Path) -> None:
    start(ccp, tmp_path, "--init", str(trained / "best.pt"), "--fine")

    before, after = torch.load(trained / "best.pt"), torch.load(tmp_path / "best.pt")
    for name in before:
        same = torch.equal(before[name], after[name])
        assert same != (name.startswith("fine.")), name


def test_a_bent_limb_takes_its_picture_and_its_labels_along(ccp: Path) -> None:
    """Whatever is not the wall still looks like what it is called."""
    example = data.labelled(ccp, ccp / "people", validation=True)[0]
    for seed in range(8):
        bent = data.bend_limbs(example, np.random.default_rng(seed))

        unit, moved = example.skeleton.torso or 0, []
        for name in ("left_elbow", "right_elbow", "left_knee", "right_knee"):
            old, new = example.skeleton.keypoints[name], bent.skeleton.keypoints[name]
            moved.append(np.hypot(new.x - old.x, new.y - old.y) / unit)
        assert max(moved) > 0.02
        assert bent.skeleton.get("left_hip") == example.skeleton.get("left_hip")
        for cls in (Class.TOP, Class.TROUSERS, Class.HAIR):
            then, now = example.rgb[example.labels == cls], bent.rgb[bent.labels == cls]
            if len(now) > 200:
                assert np.abs(np.median(then, 0) - np.median(now, 0)).max() < 25


def test_a_finished_training_has_nothing_left_to_do(ccp: Path, trained: Path) -> None:
    log, best = (trained / "log.jsonl").read_text(), torch.load(trained / "best.pt")

    start(ccp, trained)

    assert (trained / "log.jsonl").read_text() == log
    again = torch.load(trained / "best.pt")
    assert all((again[name] == value).all() for name, value in best.items())


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("exported") / "garment_parser.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["export", str(trained / "best.pt"), str(file)])
        export.main()
    return file


def test_the_exported_file_is_what_the_runtime_reads(ccp: Path, exported: Path) -> None:
    assert list(exported.parent.iterdir()) == [exported]
    (example,) = data.labelled(ccp, ccp / "people", validation=True)
    answer = GarmentParser(exported, 1).parse(
        example.rgb, example.outline, example.box, example.skeleton
    )
    shares = data.resample(answer, example.labels.shape)
    assert shares.shape == (len(CLASSES), *example.labels.shape)
    assert np.abs(shares.sum(0) - 1).max() < 1e-4


def test_in_eight_bits_it_is_a_third_as_large_and_answers_much_the_same(
    ccp: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "int8.onnx"
    paths = [str(path) for path in (ccp, ccp / "people", exported, small)]
    monkeypatch.setattr("sys.argv", ["quantise", *paths, "--photos", "2"])

    quantise.main()

    assert list(tmp_path.iterdir()) == [small]
    assert small.stat().st_size < exported.stat().st_size / 3
    shown = torch.rand(1, 13, 480, 320).numpy() * 2 - 1
    plain, coarse = (Model(file, 1, ("logits",)).run(shown)[0] for file in (exported, small))
    assert np.sqrt(np.square(coarse - plain).mean()) < 0.5 * plain.std()


def test_an_exported_file_is_enough_to_go_on_from(trained: Path, exported: Path) -> None:
    before, after = starting(trained / "best.pt"), starting(exported)
    shown = torch.rand(2, 13, 96, 64) * 2 - 1

    with torch.no_grad():
        expected = before(shown).numpy() / export.TEMPERATURE
        assert after(shown).numpy() == pytest.approx(expected, abs=1e-4)


def test_it_learns_from_a_teacher_and_leaves_the_norms_of_an_exported_file_alone(
    ccp: Path, exported: Path, tmp_path: Path
) -> None:
    start(ccp, tmp_path / "alone", "--init", str(exported))
    start(ccp, tmp_path / "taught", "--init", str(exported), "--teacher", str(exported))

    assert epochs(tmp_path / "taught")[0]["loss"] > epochs(tmp_path / "alone")[0]["loss"]
    taught = torch.load(tmp_path / "taught" / "best.pt")
    begun = starting(exported).state_dict()
    assert not torch.equal(taught["head.weight"], begun["head.weight"])
    assert all(torch.equal(taught[name], begun[name]) for name in begun if "running" in name)


def test_a_teacher_says_the_same_of_a_view_and_of_its_mirror_image(exported: Path) -> None:
    teacher, shown = starting(exported), torch.rand(2, 13, 96, 64) * 2 - 1

    shares = flip_tta(teacher, shown)

    assert shares.sum(1).numpy() == pytest.approx(1, abs=1e-5)
    mirrored = flip_tta(teacher, shown.flip(3)).flip(3)
    assert mirrored.numpy() == pytest.approx(shares.numpy(), abs=1e-5)
    assert float(train.distillation_loss(shares.log(), shares)) == pytest.approx(0, abs=1e-5)
    assert float(train.distillation_loss(teacher(shown), shares)) > 0


# What it learns from


def test_no_photo_of_the_validation_is_ever_learnt_from(ccp: Path) -> None:
    learnt = [one.name for one in data.labelled(ccp, ccp / "people", validation=False)]
    held_back = [one.name for one in data.labelled(ccp, ccp / "people", validation=True)]

    assert held_back == ["0011"]
    assert learnt == [f"{number:04}" for number in range(2, 10)]


def test_labels_come_back_as_the_classes_that_were_painted(ccp: Path) -> None:
    """Skin by the region it lies in, and bare feet as shoes."""
    for example in data.labelled(ccp, ccp / "people", validation=False, as_labelled=True):
        painted = np.asarray(Image.open(ccp / "labels" / f"{example.name}.png"))
        assert set(np.unique(example.labels)) == set(CLASSES)
        assert ((painted == NAMES.index("hat")) == (example.labels == Class.HAT)).all()
        skin = painted == NAMES.index("skin")
        shod = int(example.name) % 2 == 1
        learnt_as = {*data.REGIONS.values()} - ({Class.SHOE} if shod else set())
        assert set(np.unique(example.labels[skin])) == learnt_as


def test_a_dress_is_a_skirt_where_a_top_covers_the_whole_chest() -> None:
    dress = figures.classes(figures.in_a_long_dress())
    waist = figures.HIP_LINE - 30
    below_a_top, below_a_coat, over_a_top = dress.copy(), dress.copy(), dress.copy()
    below_a_top[:waist][dress[:waist] == Class.DRESS] = Class.TOP
    below_a_coat[:waist][dress[:waist] == Class.DRESS] = Class.OUTERWEAR
    over_a_top[:waist, :150][dress[:waist, :150] == Class.DRESS] = Class.TOP

    for labels in (dress, below_a_top, below_a_coat, over_a_top):
        data.split_skirts(labels, figures.skeleton())

    assert not (below_a_top == Class.DRESS).any()
    assert (below_a_top[waist:] == Class.SKIRT).sum() == (dress[waist:] == Class.DRESS).sum()
    for labels in (dress, below_a_coat, over_a_top):
        assert not (labels == Class.SKIRT).any()


def test_every_label_is_mapped_once_and_jewellery_is_not_learnt() -> None:
    table = data.class_table(NAMES)

    for cls, names in data.WORN.items():
        for name in names.split():
            assert table[NAMES.index(name)] == cls
    assert len(NAMES) == len(set(NAMES))
    assert table[NAMES.index("necklace")] == table[255] == data.IGNORE
    assert {*data.WORN, *data.REGIONS.values()} == set(CLASSES)


def test_every_sample_has_the_inputs_and_labels_that_the_network_expects(ccp: Path) -> None:
    torch.manual_seed(0)
    examples = data.labelled(ccp, ccp / "people", validation=False)
    samples = data.Samples(examples, (96, 64), data.Mix(0.3, 0.2, dyed=0.5), examples, [])

    for index in [*range(len(samples))] * 3:
        inputs, labels, _, factors = samples[index]
        assert inputs.shape == (13, 96, 64)
        assert inputs.dtype == torch.float32
        assert inputs.min() >= -1
        assert inputs.max() <= 1
        assert labels.shape == (48, 32)
        assert factors.shape == (len(CLASSES),)
        assert set(labels.unique().tolist()) <= {*CLASSES, data.NOBODY, data.IGNORE}


def test_a_photo_in_which_the_pose_model_sees_nobody_is_not_learnt_from(
    ccp: Path, tmp_path: Path
) -> None:
    for number in IDS[1:]:
        shutil.copy(ccp / "people" / f"{number:04}.png", tmp_path)

    learnt = [one.name for one in data.labelled(ccp, tmp_path, validation=False)]

    assert learnt == [f"{number:04}" for number in range(3, 10)]


EDGE = np.ones((9, 9), np.uint8)
"""Wider than the soft edge of what is laid over a photo."""


def test_what_stands_before_the_person_is_nobody_and_all_else_stays(ccp: Path) -> None:
    example = data.labelled(ccp, ccp / "people", validation=True)[0]
    ground = np.full((*example.labels.shape, 3), (255.0, 0.0, 255.0))

    for seed in range(6):
        hidden = data.put_table_before(example, ground, np.random.default_rng(seed))

        table = (hidden.rgb == (255, 0, 255)).all(2)
        assert table.any()
        assert data.background(hidden.labels)[table].all()
        changed = (hidden.rgb != example.rgb).any(2)
        assert data.background(hidden.labels)[cv2.erode(changed.astype(np.uint8), EDGE) > 0].all()
        assert (hidden.labels == example.labels)[~changed].all()
        neck = example.skeleton.neck_base
        assert neck is not None
        assert not table[int(neck[1]), int(neck[0])]


def test_what_somebody_else_carries_is_a_bag_on_the_person_and_all_else_stays(ccp: Path) -> None:
    carrier, example = data.labelled(ccp, ccp / "people", validation=False)[:2]
    magenta = np.full_like(carrier.rgb, (255, 0, 255))
    outline = [[40.0, 40.0], [60.0, 40.0], [60.0, 60.0], [40.0, 60.0]]
    (thing,) = data.cut_out_things(replace(carrier, rgb=magenta, things=(outline,)))

    for seed in range(6):
        pasted = data.paste_thing(example, thing, np.random.default_rng(seed))

        bag = (pasted.rgb == (255, 0, 255)).all(2)
        assert (pasted.labels[cv2.erode(bag.astype(np.uint8), EDGE) > 0] == Class.BAG).all()
        changed = (pasted.rgb != example.rgb).any(2)
        far = cv2.dilate(changed.astype(np.uint8), EDGE) == 0
        assert (pasted.labels == example.labels)[far].all()


def test_specks_and_what_hides_its_carrier_are_not_lent(ccp: Path) -> None:
    example = data.labelled(ccp, ccp / "people", validation=False)[0]
    everything = [[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0]]
    speck = [[50.0, 50.0], [51.0, 50.0], [51.0, 51.0], [50.0, 51.0]]

    assert not data.cut_out_things(replace(example, things=(everything, speck)))


def test_a_ground_is_laid_behind_the_person_and_nowhere_else(ccp: Path) -> None:
    example = data.labelled(ccp, ccp / "people", validation=True)[0]
    ground = np.full((*example.labels.shape, 3), (255.0, 0.0, 255.0))

    there = data.replace_background(example, ground).rgb

    inside = cv2.erode((example.labels != Class.BACKGROUND).astype(np.uint8), np.ones((13, 13)))
    outside = cv2.erode((example.labels == Class.BACKGROUND).astype(np.uint8), np.ones((13, 13)))
    assert (there == example.rgb)[inside > 0].all()
    assert (there[outside > 0] == (255, 0, 255)).all()


def test_surroundings_hold_nobody(ccp: Path) -> None:
    """A host all of whose body is red, before grey."""
    host = data.labelled(ccp, ccp / "people", validation=False)[0]
    body = (host.labels != Class.BACKGROUND) | (host.outline > 0)
    body[:, :40] = False
    labels = np.where(body, host.labels, np.uint8(Class.BACKGROUND))
    outline = np.where(body, host.outline, np.uint8(0))
    red = np.where(body[..., None], np.array((255, 0, 0), np.uint8), np.uint8(90))
    free = replace(host, rgb=red, labels=labels, outline=outline)

    found = data.stretch_background(free, (60, 50))

    assert found is not None
    assert found.shape == (60, 50, 3)
    assert (found == 90).all()
    assert (
        data.stretch_background(replace(free, outline=np.full_like(outline, 255)), (60, 50)) is None
    )


def test_weights_that_knew_no_outline_and_no_fine_head_answer_as_they_did(trained: Path) -> None:
    now = Parser(pretrained=False).eval()
    known = torch.load(trained / "best.pt")
    weights = {name: weight for name, weight in known.items() if not name.startswith("fine.")}
    for i in range(len(now.lateral)):
        weights[f"lateral.{i}.0.weight"] = weights[f"lateral.{i}.0.weight"][:, :-1]
    now.begin_with(weights)
    shown = torch.rand(1, 13, 96, 64) * 2 - 1
    blind = shown.clone()
    blind[:, -1] = -1

    with torch.no_grad():
        assert (now(shown) == now(blind)).all()
        assert (
            now.fine(torch.rand(1, 64, 9, 9), torch.rand(1, 16, 18, 18), blind[:, -1:, :18, :18])
            == 0
        ).all()


def test_a_mirrored_example_mirrored_again_is_the_same(ccp: Path) -> None:
    example = data.labelled(ccp, ccp / "people", validation=True)[0]

    again = data.flip_horizontally(data.flip_horizontally(example))

    assert again.box == example.box
    assert (again.labels == example.labels).all()
    assert (again.rgb == example.rgb).all()
    assert (data.flip_horizontally(example).labels == example.labels[:, ::-1]).all()


def test_somebody_pasted_in_is_background_and_takes_no_label_along(ccp: Path) -> None:
    own, guest = data.labelled(ccp, ccp / "people", validation=False)[:2]
    marked = replace(guest, rgb=np.full_like(guest.rgb, (255, 0, 255)))

    for seed in range(12):
        both = data.paste_person(own, marked, np.random.default_rng(seed))
        theirs = (both.rgb != own.rgb).any(-1)
        assert (both.labels[theirs] == Class.BACKGROUND).all()
        assert (both.labels[~theirs] == own.labels[~theirs]).all()


def test_a_class_that_nobody_is_sure_of_costs_nothing() -> None:
    logits = torch.randn(1, len(CLASSES), 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.full((1, 16, 16), int(Class.TOP))
    doubtful = labels.clone()
    doubtful[:, :4] = data.IGNORE
    changed = logits.clone()
    changed[:, :, 0] = 5 * torch.randn(len(CLASSES), 16)

    before, after = (train.criterion(one, doubtful) for one in (logits, changed))

    assert before == pytest.approx(float(after))
    assert train.criterion(changed, labels) != pytest.approx(float(before))


def test_a_slip_within_what_the_masks_tell_apart_costs_less_than_one_across() -> None:
    labels = torch.full((1, 16, 16), int(Class.TOP))

    def cost(found: Class) -> float:
        logits = torch.zeros(1, len(CLASSES), 16, 16)
        logits[:, found] = 6
        return float(train.criterion(logits, labels))

    assert cost(Class.TOP) < cost(Class.OUTERWEAR) < cost(Class.TROUSERS)
