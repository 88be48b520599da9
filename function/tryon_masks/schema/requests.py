"""What callers send: one set of models for the API, the worker and the CLI."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self
from urllib.parse import unquote_to_bytes

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    EncodedBytes,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.domain.identity import MAX_USER_ID_CHARACTERS
from tryon_masks.domain.kinds import MaskKind
from tryon_masks.domain.person import Box
from tryon_masks.domain.profiles import Expand, Profile
from tryon_masks.images import Edge, FileFormat
from tryon_masks.outputs.extra import Output
from tryon_masks.outputs.targets import TARGETS, TargetName, not_taken
from tryon_masks.service import MaskOptions, MaskRequest, PersonChoice

DOCUMENT_KEY = "userImageUrl"
UserId = Annotated[StrictStr, Field(min_length=1, max_length=MAX_USER_ID_CHARACTERS)]

# Spelled out: what counts as white space differs from one regex dialect to the next.
CallbackUrl = Annotated[StrictStr, Field(pattern=r"^https://[!-.0-~]+(/[!-~]*)?$", max_length=2048)]

ItemId = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]

PROBLEMS_SHOWN = 10
"""Problems of one request that its answer names."""


def _without_fraction(value: object) -> object:
    """Turn 64.0 into 64: in JSON that is a whole number, and some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


SMALLEST_SIDE, LARGEST_SIDE = 64, 8192
"""Bounds of ``max_side``, in pixels."""

Side = Annotated[
    StrictInt, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE), BeforeValidator(_without_fraction)
]
Margin = Annotated[float, Field(strict=True, ge=0, le=1)]
Pixels = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Address = Annotated[StrictStr, Field(min_length=1, max_length=4096)]


_DATA_ADDRESS = re.compile(rb"data:([^,]*),", re.IGNORECASE)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


class _AnyBase64:
    """Base64 as clients write it.

    A ``data:`` address, lines, either alphabet, with padding or without. Pydantic's own encoder
    skips characters that are not base64; here they are an error.
    """

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        if address := _DATA_ADDRESS.match(data := data.strip()):
            if not address[1].strip().lower().endswith(b";base64"):
                raise ValueError("a data: address must say ;base64")
            data = unquote_to_bytes(data[address.end() :])
        digits = data.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
        if odd := re.search(rb"[^A-Za-z0-9+/]", digits):
            raise ValueError(f"character {odd.start() + 1} is not base64")
        if len(digits) % 4 == 1:
            raise ValueError("base64 breaks off: a character is missing, or one too many")
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        return "base64"


class _Body(BaseModel):
    """What a caller sends: for a field that may be left out, null says the same."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nulls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        optional = {DOCUMENT_KEY}
        for name, known in cls.model_fields.items():
            if not known.is_required():
                optional.add(known.alias or name)
        return {
            name: value
            for name, value in given.items()
            if value is not None or name not in optional
        }

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        whole = handler.resolve_ref_schema(schema)
        for name, member in whole.get("properties", {}).items():
            kinds = member.get("anyOf", [])
            if name not in whole.get("required", ()) and {"type": "null"} not in kinds:
                shown = {key: member.pop(key) for key in ("title", "description") if key in member}
                default = {"default": member.pop("default")} if "default" in member else {}
                whole["properties"][name] = {
                    "anyOf": [member, {"type": "null"}],
                    **shown,
                    **default,
                }
        return schema


class ExpandBody(_Body):
    """A margin on top of the profile's own, a side each, as fractions of the torso length."""

    model_config = ConfigDict(extra="forbid")

    top: Margin = 0.0
    bottom: Margin = 0.0
    left: Margin = 0.0
    right: Margin = 0.0


class OptionsBody(_Body):
    """What may be chosen about the masks, wherever the photo comes from."""

    model_config = ConfigDict(extra="forbid")

    masks: list[MaskKind] = Field(
        default=[MaskKind.UPPER, MaskKind.LOWER],
        min_length=1,
        description="The kinds to make, each once.",
        json_schema_extra={"uniqueItems": True},
    )
    profile: Profile = Field(
        default=Profile.BODY, description="The mask shape that the try-on model was trained on."
    )
    expand: ExpandBody = Field(default_factory=ExpandBody)
    format: FileFormat = "png"
    edge: Edge = Field(
        default="hard", description="hard: 0 and 255 only. soft: an antialiased contour."
    )
    max_side: Side | None = Field(
        default=None,
        description="Bound of the mask files' longer side in pixels; without it the photo's size.",
    )
    person: PersonChoice | None = Field(
        default=None, description="Take the largest of several people instead of refusing."
    )
    person_box: Annotated[list[Pixels], Field(min_length=4, max_length=4)] | None = Field(
        default=None,
        description="[x0, y0, x1, y1] around the person meant, in pixels of the upright photo.",
    )
    overlay: StrictBool = Field(
        default=False, description="Also make a picture of the photo with the masks drawn in."
    )
    outputs: list[Output] = Field(
        default=[],
        description="What else to make of the same look at the photo, on the masks' grid.",
        json_schema_extra={"uniqueItems": True},
    )
    target: TargetName | None = Field(
        default=None,
        description="Also make the files that this try-on model reads, for each mask. masks and "
        "profile are the model's own where they are not given.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target is not None:
            target = TARGETS[self.target]
            if "masks" not in self.model_fields_set:
                self.masks = [kind for kind in self.masks if kind in target.categories]
            if "profile" not in self.model_fields_set:
                self.profile = target.profile
            if why := not_taken(self.target, self.masks):
                raise ValueError(why)
        if len(set(self.masks)) != len(self.masks):
            raise ValueError("masks must name each kind once")
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError("outputs must name each once")
        if self.person_box is not None:
            x0, y0, x1, y1 = self.person_box
            if x1 <= x0 or y1 <= y0:
                raise ValueError("person_box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
            if self.person is not None:
                raise ValueError("give person or person_box, not both")
        return self

    def options(self) -> MaskOptions:
        """Return the same choices in the service's terms."""
        return MaskOptions(
            masks=tuple(self.masks),
            profile=self.profile,
            expand=Expand(**self.expand.model_dump()),
            format=self.format,
            edge=self.edge,
            max_side=self.max_side,
            person=self.person,
            person_box=None if self.person_box is None else Box(*self.person_box),
            overlay=self.overlay,
            outputs=tuple(self.outputs),
            target=self.target,
        )


class _CallBody(OptionsBody):
    user_id: UserId | None = Field(
        default=None,
        description="Who asks; without it anonymous. A signed-in caller's token wins over it.",
    )
    include_logs: StrictBool = Field(
        default=False, description="Return the request's log records in the answer."
    )
    callback_url: CallbackUrl | None = Field(
        default=None,
        description="With Prefer: respond-async: https address that the finished job is posted to.",
    )


class MaskRequestBody(_CallBody):
    """One photo, by address or as base64, and what to make of it. Unknown fields are refused."""

    user_image_url: Address | None = Field(
        default=None, description="https address of the photo. Give this or image."
    )
    image: Annotated[bytes, EncodedBytes(encoder=_AnyBase64), Field(min_length=1)] | None = Field(
        default=None, description="The photo's file as base64, or a data: address with that."
    )

    @model_validator(mode="after")
    def _one_photo(self) -> Self:
        if (self.user_image_url is None) == (self.image is None):
            raise ValueError("give exactly one of user_image_url, image and userImageUrl")
        return self

    @property
    def photo(self) -> str | bytes:
        """Return the photo's address, or its bytes."""
        photo = self.image if self.user_image_url is None else self.user_image_url
        assert photo is not None  # noqa: S101 - one_photo has seen to it
        return photo


UNKNOWN_TYPE = "application/octet-stream"


def _any_case(text: str) -> str:
    """Return a pattern of ``text`` in any case: JSON Schema has no other way to leave case open."""
    return "".join(f"[{one.upper()}{one}]" if one.isalpha() else one for one in text)


_TYPES = "|".join(
    (
        _any_case("image/") + "[A-Za-z0-9.+*_-]+",
        _any_case(UNKNOWN_TYPE),
        _any_case("binary/octet-stream"),
    )
)
PhotoType = Annotated[StrictStr, Field(pattern=f"^(({_TYPES})( *;[ -~]*)?)?$", max_length=255)]
"""Whatever browsers and phones call a photo: its content decides what it is."""


class UploadBody(OptionsBody):
    """A photo that will be uploaded, and what to make of it. Unknown fields are refused."""

    content_type: PhotoType = Field(
        description="Of the file, as the browser names it: image/..., application/octet-stream or "
        "nothing. The form has it; what the file is, its content decides.",
    )
    user_id: UserId | None = Field(
        default=None, description="Whose photo; a signed-in caller's token wins over it."
    )
    callback_url: CallbackUrl | None = Field(
        default=None, description="https address that the job is posted to when done."
    )

    @property
    def stored_type(self) -> str:
        """Return the type that S3 keeps the file under."""
        return self.content_type.partition(";")[0].strip().lower() or UNKNOWN_TYPE


MAX_ITEMS = 1000
"""Most photos of a batch in a request's body."""


class ItemBody(OptionsBody):
    """One photo of a batch, and what to make of it. Unknown fields are refused."""

    photo: Address = Field(description="https address of the photo.")
    id: ItemId | None = Field(
        default=None, description="Names the item in the results; without it its place, from 1."
    )
    user_id: UserId | None = Field(
        default=None, description="Whose photo; a signed-in caller's token wins over it."
    )


class BatchBody(_Body):
    """Photos to be made masks of later: here, or in a list. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MAX_ITEMS)] | None = Field(
        default=None, description="The photos; each id once. Give this or manifest."
    )
    manifest: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | None = Field(
        default=None,
        description="Key of a list in the photo bucket, below manifests/ and the caller's own id: "
        "JSON Lines, each line as an item.",
    )

    @property
    def names(self) -> list[str]:
        """Return what the items are called in the results."""
        return [item_name(item.id, place) for place, item in enumerate(self.items or ())]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if (self.items is None) == (self.manifest is None):
            raise ValueError("give exactly one of items and manifest")
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError("items must have each id once")
        return self


class DataJson(_CallBody):
    """A whole ``data.json``: ``userImageUrl`` makes it one, and its other keys are its owner's.

    The fields of a plain request are read beside it; only those that would name a second photo are
    refused. Its answer carries a ``Mask`` block to put into the document.
    """

    model_config = ConfigDict(extra="allow")

    photo: Address = Field(alias="userImageUrl", description="https address of the photo.")

    @model_validator(mode="after")
    def _one_photo(self) -> Self:
        given = {name for name, value in (self.model_extra or {}).items() if value is not None}
        if {"user_image_url", "image"} & given:
            raise ValueError("give exactly one of user_image_url, image and userImageUrl")
        return self


def _which(body: object) -> str:
    is_document = isinstance(body, Mapping) and body.get(DOCUMENT_KEY) is not None
    return "document" if is_document else "request"


Body = Annotated[
    Annotated[MaskRequestBody, Tag("request")] | Annotated[DataJson, Tag("document")],
    Discriminator(_which),
]


def mask_request(body: MaskRequestBody | DataJson, user_id: str) -> MaskRequest:
    """Return the service's request."""
    return MaskRequest(photo=body.photo, user_id=user_id, options=body.options())


def invalid(problems: Iterable[Mapping[str, Any]]) -> InvalidRequest:
    """Turn Pydantic's problems into one error that names fields and never repeats values."""
    texts = []
    for problem in problems:
        where = [
            str(part) for part in problem["loc"] if part not in ("body", "request", "document")
        ]
        what = str(problem["msg"]).removeprefix("Value error, ")
        texts.append(f"{'.'.join(where)}: {what}" if where else what)
    shown = "; ".join(texts[:PROBLEMS_SHOWN])
    more = len(texts) - PROBLEMS_SHOWN
    return InvalidRequest(f"{shown}; and {more} more" if more > 0 else shown)


def read_options(given: Mapping[str, Any]) -> MaskOptions:
    """Read options from somewhere other than an API body.

    Raises
    ------
    InvalidRequest
    """
    try:
        return OptionsBody.model_validate(given).options()
    except ValidationError as error:
        raise invalid(error.errors()) from error


def read_item(given: object) -> ItemBody:
    """Read one line of a batch's list.

    Raises
    ------
    InvalidRequest
    """
    try:
        return ItemBody.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors()) from error


def item_name(given: str | None, number: int) -> str:
    """Name an item in the results: as its caller does, or by its place from 1."""
    return given or str(number + 1)


def photo_of_document(data: bytes) -> str:
    """Return the photo's address in a ``data.json`` file.

    Raises
    ------
    InvalidRequest
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The document is not JSON in UTF-8.") from error
    photo = document.get(DOCUMENT_KEY) if isinstance(document, dict) else None
    if not isinstance(photo, str) or not photo:
        raise InvalidRequest(f"The document must hold the photo's address under {DOCUMENT_KEY}.")
    return photo
