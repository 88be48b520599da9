"""The library on the real models: what the service makes, wherever it is called."""

from __future__ import annotations

import multiprocessing
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.demo_photos import STANDING, demo_photo
from tests.vision.compact.conftest import MODELS

from tryon_masks import MaskMaker
from tryon_masks.images import Limits
from tryon_masks.model_sets import model_sets
from tryon_masks.outputs.extra import Output
from tryon_masks.outputs.targets import TARGETS, TargetName
from tryon_masks.service import MaskOptions, MaskRequest, MaskService
from tryon_masks.telemetry import request_log
from tryon_masks.vision.compact.vision import CompactVision


@pytest.fixture(scope="module")
def maker() -> MaskMaker:
    return MaskMaker(models_dir=MODELS.parent, threads=1)


def test_its_masks_are_the_services(maker: MaskMaker, vision: CompactVision) -> None:
    photo, store = demo_photo(STANDING), fakes.FakeStore()
    limits = Limits(working_side=model_sets()["compact"].working_side)
    service = MaskService(vision, store, fakes.FakePhotos({}), limits=limits)
    with request_log("request-1", "marie") as log:
        service.make(MaskRequest(photo, "marie", MaskOptions(max_side=1024)), log)
    (files,) = store.files.values()

    result = maker(photo, max_side=1024)

    assert result.masks.keys() == files.keys()
    for kind, file in files.items():
        assert np.array_equal(result.masks[kind], np.asarray(Image.open(BytesIO(file.data))))


def test_its_outputs_and_targets_are_the_services(maker: MaskMaker, vision: CompactVision) -> None:
    photo, store = demo_photo(STANDING), fakes.FakeStore()
    limits = Limits(working_side=model_sets()["compact"].working_side)
    service = MaskService(vision, store, fakes.FakePhotos({}), limits=limits)
    target = TargetName.CATVTON
    options = MaskOptions(
        profile=TARGETS[target].profile, max_side=1024, outputs=tuple(Output), target=target
    )
    with request_log("request-1", "marie") as log:
        served = service.make(MaskRequest(photo, "marie", options), log)
    (files,) = store.files.values()

    result = maker(photo, profile=options.profile, max_side=1024)
    made = result.outputs(*Output)

    assert made.pop("keypoints") == served.keypoints
    assert made.keys() == served.outputs.keys()
    for name, picture in made.items():
        assert picture == Image.open(BytesIO(files[name].data))
    for kind, one in served.targets.items():
        own = result.target(target, kind)
        assert own.transform == one.about["transform"]
        assert own.files.keys() == one.files.keys()
        for path, picture in own.files.items():
            assert picture == Image.open(BytesIO(files[f"{target}_{kind}/{path}"].data))


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_other_processes_can_use_it(maker: MaskMaker, way: str, tmp_path: Path) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(demo_photo(STANDING))
    here = maker(path, max_side=512)

    with multiprocessing.get_context(way).Pool(1) as pool:
        (there,) = pool.map(_make, [(maker, path)])

    assert np.array_equal(there, here.masks["upper"])


def _make(what: tuple[MaskMaker, Path]) -> NDArray[np.uint8]:
    maker, path = what
    return maker(path, max_side=512).masks["upper"]
