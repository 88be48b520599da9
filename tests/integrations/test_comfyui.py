"""The nodes, loaded as ComfyUI loads a folder of ``custom_nodes`` and called with its tensors."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests import fakes
from tests.standins import torch_tensor

from tryon_masks.domain.errors import InvalidRequest, Refusal
from tryon_masks.domain.parts import Part
from tryon_masks.images import Limits
from tryon_masks.service import MaskService

PACK = Path(__file__).parents[2] / "integrations" / "comfyui"
NAME = "custom_nodes.comfyui_tryon_masks"
INSTALLED = importlib.util.find_spec("torch") is not None


@pytest.fixture
def vision() -> fakes.FakeVision:
    return fakes.FakeVision()


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch, vision: fakes.FakeVision) -> Iterator[ModuleType]:
    if not INSTALLED:
        monkeypatch.setitem(sys.modules, "torch", torch_tensor)
    spec = importlib.util.spec_from_file_location(NAME, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, NAME, module)
    spec.loader.exec_module(module)
    nodes = sys.modules[f"{NAME}.nodes"]
    service = MaskService(vision, fakes.FakeStore(), fakes.FakePhotos(), limits=Limits())
    monkeypatch.setattr(nodes, "service", lambda: service)
    yield module
    del sys.modules[f"{NAME}.nodes"]


def tensor(values: NDArray[np.float32]) -> Any:
    if not INSTALLED:
        return torch_tensor.from_numpy(values)
    import torch

    return torch.from_numpy(values)


def photos(count: int = 1) -> NDArray[np.float32]:
    image = Image.open(io.BytesIO(fakes.photo(format="PNG"))).convert("RGB")
    return np.stack([np.asarray(image, np.float32) / 255] * count)


def make(pack: ModuleType, **given: Any) -> list[Any]:
    node = pack.NODE_CLASS_MAPPINGS["TryonMask"]()
    chosen = {"kind": "upper", "target": "own", "profile": "own", **given}
    image = chosen.pop("image", None)
    image = tensor(photos()) if image is None else image
    return list(getattr(node, node.FUNCTION)(image=image, **chosen))


@pytest.mark.parametrize("name", ["TryonMask", "TryonPaste"])
def test_a_node_has_what_comfyui_asks_for(pack: ModuleType, name: str) -> None:
    node = pack.NODE_CLASS_MAPPINGS[name]
    inputs = node.INPUT_TYPES()

    assert set(inputs) <= {"required", "optional"}
    for kind, *_ in (given for group in inputs.values() for given in group.values()):
        assert isinstance(kind, list) or kind.isupper()
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    assert callable(getattr(node, node.FUNCTION))
    assert isinstance(node.CATEGORY, str)
    assert name in pack.NODE_DISPLAY_NAME_MAPPINGS


def test_a_batch_of_photos_becomes_masks_and_pictures(pack: ModuleType) -> None:
    mask, image, grey, overlay, transform = make(pack, image=tensor(photos(2)))

    values = mask.cpu().numpy()
    assert values.shape == (2, 400, 300)
    assert values.dtype == np.float32
    assert np.unique(values).tolist() == [0, 1]
    assert values[0][fakes.part_map() == Part.TOP].mean() > 0.95
    assert values[0][fakes.part_map() == Part.FACE].max() == 0
    assert np.array_equal(image.cpu().numpy(), photos(2))
    assert np.allclose(grey.cpu().numpy()[values == 1], 128 / 255)
    assert overlay.cpu().numpy().shape == (2, 400, 300, 3)
    assert len(transform) == 2


def test_a_target_has_its_size_and_its_profile(pack: ModuleType) -> None:
    mask, image, *_ = make(pack, target="fitdit")
    body, *_ = make(pack, target="fitdit", profile="body")

    assert mask.cpu().numpy().shape == (1, 1536, 1152)
    assert image.cpu().numpy().shape == (1, 1536, 1152, 3)
    assert mask.cpu().numpy().sum() > 1.1 * body.cpu().numpy().sum()


def test_margins_grow_the_mask(pack: ModuleType) -> None:
    plain, grown = make(pack)[0], make(pack, bottom=0.3, left=0.1)[0]

    assert grown.cpu().numpy().sum() > plain.cpu().numpy().sum()


def test_what_cannot_be_made_stops_the_workflow_with_its_reason(
    pack: ModuleType, vision: fakes.FakeVision
) -> None:
    vision.people = 2

    with pytest.raises(Refusal, match="SEVERAL_PEOPLE: "):
        make(pack)
    assert make(pack, person="largest")[0].cpu().numpy().any()
    with pytest.raises(InvalidRequest, match="stableviton takes"):
        make(pack, kind="lower", target="stableviton", person="largest")


def test_a_result_goes_back_into_its_photo(pack: ModuleType) -> None:
    mask, image, _, _, transform = make(pack)
    node = pack.NODE_CLASS_MAPPINGS["TryonPaste"]()

    white = tensor(np.ones_like(image.cpu().numpy()))
    (pasted,) = node.paste(tensor(photos()), white, mask, transform)

    there = mask.cpu().numpy() == 1
    assert np.array_equal(pasted.cpu().numpy()[~there], photos()[~there])
    assert pasted.cpu().numpy()[0, 160, 150].tolist() == [1, 1, 1]
    # Some nodes give a mask without its batch.
    flat = tensor(mask.cpu().numpy()[0])
    (same,) = node.paste(tensor(photos()), white, flat, transform)
    assert np.array_equal(same.cpu().numpy(), pasted.cpu().numpy())
    with pytest.raises(InvalidRequest, match="same batch"):
        node.paste(tensor(photos(2)), white, mask, transform)


def test_the_workflow_joins_sockets_of_one_type(pack: ModuleType) -> None:
    graph = json.loads((PACK / "workflow.json").read_text())
    theirs = {"LoadImage": ("IMAGE", "MASK")}
    nodes = pack.NODE_CLASS_MAPPINGS

    for step in graph.values():
        if step["class_type"] not in nodes:
            continue
        inputs = nodes[step["class_type"]].INPUT_TYPES()
        wanted = inputs["required"] | inputs.get("optional", {})
        assert inputs["required"].keys() <= step["inputs"].keys() <= wanted.keys()
        for name, given in step["inputs"].items():
            kind = wanted[name][0]
            if isinstance(given, list):
                source = graph[given[0]]["class_type"]
                returns = theirs[source] if source in theirs else nodes[source].RETURN_TYPES
                assert returns[given[1]] == kind
            else:
                assert given in kind
