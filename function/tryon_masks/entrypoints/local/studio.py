"""What the page asks for: a photo is seen once and kept, its masks are shaped again and again."""

from __future__ import annotations

import base64
import io
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon_masks import images
from tryon_masks.domain.errors import InvalidRequest, TryonMasksError
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.parts import Part
from tryon_masks.jobs.submit import NotFound
from tryon_masks.library import MaskMaker, Result
from tryon_masks.ports import EncodedImage
from tryon_masks.schema.requests import read_options
from tryon_masks.service import MaskOptions
from tryon_masks.sheet.card import SIDE, card_of
from tryon_masks.telemetry import step

PHOTOS_KEPT = 24
SHAPES = ("masks", "profile", "expand", "edge", "max_side")
"""What can be chosen without seeing the photo again."""
CARD_OPTIONS = ("masks", "profile", "expand", "edge")


class Studio:
    """Photos that were seen, the last :data:`PHOTOS_KEPT` of them, in memory alone."""

    def __init__(self, maker: MaskMaker) -> None:
        self._maker = maker
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[bytes, Result]] = OrderedDict()

    def see(self, photo: bytes) -> dict[str, Any]:
        """Run the models on a photo, and keep what they saw.

        Raises
        ------
        BadRequest
        """
        return self._keep(uuid4().hex, photo, self._maker(photo))

    def card(self, photo: bytes, given: Mapping[str, Any]) -> dict[str, Any]:
        """Make the card of a photo that is one of many, and keep nothing.

        Parameters
        ----------
        given
            Options, without ``max_side``.

        Raises
        ------
        InvalidRequest
        """
        _check_names(given, CARD_OPTIONS)
        read_options(given)
        try:
            outcome: Result | TryonMasksError = self._maker(photo, max_side=SIDE, **given)
        except TryonMasksError as error:
            outcome = error
        return card_of("", outcome).as_json()

    def choose(self, number: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """See the photo again for another of its people, the one in ``body["person_box"]``.

        Raises
        ------
        NotFound, InvalidRequest
        """
        photo, _ = self._find(number)
        box = body.get("person_box")
        if not isinstance(box, list) or not all(isinstance(side, int | float) for side in box):
            raise InvalidRequest("person_box must be a list of numbers.")
        return self._keep(number, photo, self._maker(photo, person_box=box))

    def view(self, number: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Shape the kept person's masks anew, for the page to lay over the photo.

        Returns
        -------
        JSON values: the masks as :func:`~tryon_masks.images.stencil` in base64, the middle of each
        as shares of the width and the height, and what is known of them. No model runs.

        Raises
        ------
        NotFound, InvalidRequest
        """
        result, options = self._shape(number, body)
        with step("draw_masks", "page"):
            stencils = {
                kind: _base64(images.stencil(mask, options.edge))
                for kind, mask in result.masks.items()
            }
            # A small mask may have no pixel on the page's grid.
            middles = {kind: _middle(mask) for kind, mask in result.masks.items() if mask.any()}
        return {
            "status": result.status,
            "masks": stencils,
            "middles": middles,
            "refused": [vars(refused) for refused in result.refused],
            "quality": {kind: vars(quality) for kind, quality in result.quality.items()},
            "steps": _steps(result),
        }

    def files(self, number: str, body: Mapping[str, Any]) -> dict[str, str]:
        """Shape the kept person's masks anew, as files in base64 by kind.

        Raises
        ------
        NotFound, InvalidRequest
        """
        _, encoded = self._encode(number, body)
        return {kind: _base64(file) for kind, file in encoded.items()}

    def pack(self, number: str, body: Mapping[str, Any]) -> bytes:
        """Pack a ZIP archive of the masks, and of the photo with them drawn in.

        Raises
        ------
        NotFound, InvalidRequest
        """
        result, encoded = self._encode(number, body)
        picture, archive = io.BytesIO(), io.BytesIO()
        result.overlay().save(picture, "JPEG", quality=88)
        with zipfile.ZipFile(archive, "w") as files:
            for kind, file in encoded.items():
                files.writestr(f"{kind}.{file.extension}", file.data)
            files.writestr("overlay.jpg", picture.getvalue())
        return archive.getvalue()

    def parts(self, number: str) -> bytes:
        """Draw the part map as a PNG in colours, clear where nobody is.

        Raises
        ------
        NotFound
            Also where nobody was chosen.
        """
        _, result = self._find(number)
        if result.small_person is None:
            raise NotFound("Nobody was chosen in this photo.")
        file = io.BytesIO()
        Image.fromarray(_COLOURS[result.small_person.part_map]).save(file, "PNG")
        return file.getvalue()

    def _shape(self, number: str, body: Mapping[str, Any]) -> tuple[Result, MaskOptions]:
        _check_names(body, {*SHAPES, "format"})
        options = read_options(body)
        _, seen = self._find(number)
        return seen.reshape(**{name: body[name] for name in SHAPES if name in body}), options

    def _encode(
        self, number: str, body: Mapping[str, Any]
    ) -> tuple[Result, dict[str, EncodedImage]]:
        result, options = self._shape(number, body)
        with step("encode_masks", "page"):
            return result, {
                kind: images.encode_mask(mask, options.format)
                for kind, mask in result.masks.items()
            }

    def _keep(self, number: str, photo: bytes, result: Result) -> dict[str, Any]:
        with self._lock:
            # Its masks, of the photo's full size, are made again by whoever wants them.
            self._kept[number] = (photo, replace(result, masks={}))
            self._kept.move_to_end(number)
            while len(self._kept) > PHOTOS_KEPT:
                self._kept.popitem(last=False)
        person = None if result.chosen is None else result.people[result.chosen]
        return {
            "id": number,
            "width": result.width,
            "height": result.height,
            "model_set": result.model_set,
            "kinds": [kind.value for kind in MaskKind],
            "people": [
                {"box": [one.box.x0, one.box.y0, one.box.x1, one.box.y1], "score": one.score}
                for one in result.people
            ],
            "chosen": result.chosen,
            "keypoints": {}
            if person is None
            else {
                name: [point.x, point.y, point.score]
                for name, point in person.skeleton.keypoints.items()
            },
            "steps": _steps(result),
        }

    def _find(self, number: str) -> tuple[bytes, Result]:
        with self._lock:
            if number not in self._kept:
                raise NotFound("This photo is no longer kept: open it again.")
            self._kept.move_to_end(number)
            return self._kept[number]


def _base64(file: EncodedImage) -> str:
    return base64.b64encode(file.data).decode()


def _middle(mask: NDArray[np.uint8]) -> list[float]:
    """Where a mask's middle is: shares of the width and the height, 0 to 1."""
    height, width = mask.shape
    moments = cv2.moments(mask)
    across, down = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    return [round(across / width, 4), round(down / height, 4)]


def _check_names(given: Mapping[str, Any], allowed: Collection[str]) -> None:
    if unknown := sorted(set(given) - set(allowed)):
        raise InvalidRequest(f"Unknown: {', '.join(unknown)}.")


def _steps(result: Result) -> list[dict[str, Any]]:
    """Each step that ended, with the seconds from the first one's start to its own, and its own."""
    ended = [
        (record, datetime.fromisoformat(record["timestamp"]).timestamp() - record["duration"])
        for record in result.records
        if record["status"] != "started"
    ]
    first = min((start for _, start in ended), default=0.0)
    return [
        {"step": record["step"], "start": round(start - first, 3), "seconds": record["duration"]}
        for record, start in sorted(ended, key=lambda one: one[1])
    ]


def _colours() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One colour a part, as far apart as steps round the colour wheel make them: (256, 4), RGBA."""
    table = np.zeros((256, 4), np.uint8)
    for part in Part:
        if part is not Part.BACKGROUND:
            wheel = Image.new("HSV", (1, 1), (part * 97 % 256, 190, 150 + part * 37 % 106))
            table[part] = (*np.asarray(wheel.convert("RGB"))[0, 0], 255)
    return table


_COLOURS = _colours()
