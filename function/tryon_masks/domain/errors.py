"""How this project says no.

Its routes have three kinds of :class:`BadRequest` more: ``NotFound``, ``MethodNotAllowed`` and
``NotSignedIn``.

::

    TryonMasksError
    ├── StartError                      a wrong setting, model or account: the start is stopped
    │   ├── SettingsError
    │   └── ModelSetError
    ├── BadRequest                      the caller can mend it
    │   ├── InvalidRequest              400  INVALID_REQUEST
    │   ├── UnknownEvent                400  UNKNOWN_EVENT
    │   ├── UrlNotAllowed               400  URL_NOT_ALLOWED
    │   ├── PhotoTooLarge               413  PHOTO_TOO_LARGE
    │   ├── PhotoNotFound               422  PHOTO_NOT_FOUND
    │   ├── UnsupportedPhoto            415  UNSUPPORTED_PHOTO
    │   └── BrokenPhoto                 422  BROKEN_PHOTO
    ├── Refusal                         422  the photo is fine, but this mask cannot be made from it
    │   ├── NoPerson                         NO_PERSON
    │   ├── PersonTooSmall                   PERSON_TOO_SMALL
    │   ├── SeveralPeople                    SEVERAL_PEOPLE
    │   ├── UpperNotVisible                  UPPER_NOT_VISIBLE
    │   ├── LegsNotVisible                   LEGS_NOT_VISIBLE
    │   ├── LowConfidence                    LOW_CONFIDENCE
    │   └── CropCutsMask                     CROP_CUTS_MASK
    ├── InProgress                  409  IN_PROGRESS: it is being done already
    └── Unavailable                     somebody else's machine, or no time left for it
        ├── PhotoFetchFailed            502  PHOTO_FETCH_FAILED
        ├── PhotoFetchTimeout           504  PHOTO_FETCH_TIMEOUT
        ├── StoreFailed                 502  STORE_FAILED
        ├── StoreTimeout                504  STORE_TIMEOUT
        ├── LogUnavailable              503  LOG_UNAVAILABLE
        ├── ProfileUnavailable          503  PROFILE_UNAVAILABLE
        ├── CallbackFailed              502  CALLBACK_FAILED
        ├── StateUnavailable            503  STATE_UNAVAILABLE
        └── OutOfTime                   504  DEADLINE

``str(error)`` is the public message: a caller may see it, so it never holds a path, a key or a
signed URL. ``detail`` is for the log alone.
"""

from __future__ import annotations

from typing import ClassVar


class TryonMasksError(Exception):
    """Root of the tree.

    Parameters
    ----------
    message
        Public text. ``None`` takes the class's own ``message``.
    detail
        Internal text, for the log only.
    """

    code: ClassVar[str] = "INTERNAL"
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, message: str | None = None, *, detail: str | None = None) -> None:
        super().__init__(message or self.message)
        self.detail = detail


class StartError(TryonMasksError):
    """The process must not start. Raised in the init phase only."""

    code = "CANNOT_START"
    message = "The service is not set up."


class SettingsError(StartError):
    """Raised with every problem of the environment at once, one a line."""


class ModelSetError(StartError):
    """A model file is missing, cut or altered; the message names it."""


class BadRequest(TryonMasksError):
    """The caller can mend it."""

    status = 400


class InvalidRequest(BadRequest):
    """A field is missing, unknown, or out of range."""

    code = "INVALID_REQUEST"
    message = "The request is not valid."


class UnknownEvent(BadRequest):
    """The function was called with something that none of its triggers sends."""

    code = "UNKNOWN_EVENT"
    message = "This is no event that the service knows."


class UrlNotAllowed(BadRequest):
    """The photo's address has a scheme, port or host that the service does not fetch."""

    code = "URL_NOT_ALLOWED"
    message = "The photo's address is not one that this service fetches."


class PhotoTooLarge(BadRequest):
    """More bytes or more pixels than the limits."""

    code = "PHOTO_TOO_LARGE"
    status = 413
    message = "The photo is too large."


class PhotoNotFound(BadRequest):
    """The photo's host has nothing at the address, or nothing that we may have."""

    code = "PHOTO_NOT_FOUND"
    status = 422
    message = "There is no photo for us at this address."


class UnsupportedPhoto(BadRequest):
    """Not JPEG, PNG, WebP, AVIF or HEIC by content."""

    code = "UNSUPPORTED_PHOTO"
    status = 415
    message = "The photo is not a JPEG, PNG, WebP, AVIF or HEIC image."


class BrokenPhoto(BadRequest):
    """Right format, but it cannot be decoded whole."""

    code = "BROKEN_PHOTO"
    status = 422
    message = "The photo is damaged or cut short."


class Refusal(TryonMasksError):
    """A mask that cannot be made honestly. Nothing is guessed in its place."""

    status = 422


class NoPerson(Refusal):
    """The detector and the pose model found nobody."""

    code = "NO_PERSON"
    message = "Nobody was found in the photo."


class PersonTooSmall(Refusal):
    """The box's longer side is under 20 % of the photo's height, or the torso under 48 px."""

    code = "PERSON_TOO_SMALL"
    message = "The person is too small in the photo."


class SeveralPeople(Refusal):
    """More than one person of comparable size and no choice in the request."""

    code = "SEVERAL_PEOPLE"
    message = "Several people are in the photo: choose one with person_box, or person: largest."


class UpperNotVisible(Refusal):
    """The shoulders that an upper mask rests on are missing or out of frame."""

    code = "UPPER_NOT_VISIBLE"
    message = "The upper body is not visible enough."


class LegsNotVisible(Refusal):
    """The hips and knees that a lower mask rests on are missing or out of frame."""

    code = "LEGS_NOT_VISIBLE"
    message = "The legs are not visible enough: a knee or half a thigh must be in the frame."


class LowConfidence(Refusal):
    """Pose and part map disagree, or the part asked for is not in the photo."""

    code = "LOW_CONFIDENCE"
    message = "The models disagree about this part of the photo."


class CropCutsMask(Refusal):
    """The target takes a cut of the photo, and none of its aspect holds the whole mask."""

    code = "CROP_CUTS_MASK"
    message = "No cut of the target's aspect holds the whole mask: pad the photo first."


class InProgress(TryonMasksError):
    """The same request is being worked on; its answer can be had a little later."""

    code = "IN_PROGRESS"
    status = 409
    message = "The same request is being worked on: ask again."
    retry_after_s: ClassVar[int] = 5


class Unavailable(TryonMasksError):
    """A part outside this process failed."""

    status = 502


class PhotoFetchFailed(Unavailable):
    """The photo's host refused, reset, or answered something other than a photo."""

    code = "PHOTO_FETCH_FAILED"
    message = "The photo could not be fetched from its address."


class PhotoFetchTimeout(Unavailable):
    """The photo did not arrive within the time limit."""

    code = "PHOTO_FETCH_TIMEOUT"
    status = 504
    message = "The photo did not arrive in time."


class StoreFailed(Unavailable):
    """At least one mask could not be stored; the message names which."""

    code = "STORE_FAILED"
    message = "The masks could not be stored."


class StoreTimeout(Unavailable):
    """The mask store did not answer within the time limit."""

    code = "STORE_TIMEOUT"
    status = 504
    message = "The mask store did not answer in time."


class LogUnavailable(Unavailable):
    """The step log is mandatory and could not be opened: the request is refused before any work."""

    code = "LOG_UNAVAILABLE"
    status = 503
    message = "The request could not be logged, so it was not started."


class ProfileUnavailable(Unavailable):
    """The masks are stored, and the user's profile does not say so. The same request mends it."""

    code = "PROFILE_UNAVAILABLE"
    status = 503
    message = "The masks could not be put into the user's profile: send the request again."


class StateUnavailable(Unavailable):
    """The service's own records, of jobs and of what was done once, cannot be reached."""

    code = "STATE_UNAVAILABLE"
    status = 503
    message = "The service cannot reach its own records."


class OutOfTime(Unavailable):
    """The call's deadline is too near for the next step; it was not begun, or ended in order."""

    code = "DEADLINE"
    status = 504
    message = "There was not enough time left to finish this."


class CallbackFailed(Unavailable):
    """Whoever wanted to be told of an answer could not be; it is tried again."""

    code = "CALLBACK_FAILED"
    message = "The callback address did not take the answer."
