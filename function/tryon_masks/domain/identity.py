"""Whom a request belongs to, and what a user may be called."""

from __future__ import annotations

import re

from tryon_masks.domain.errors import InvalidRequest

ANONYMOUS = "anonymous"
"""Who asks when nobody is named."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
MAX_USER_ID_CHARACTERS = 128
"""Length of a user's id, as Firebase bounds it; what they are is the user's provider's to say."""


def resolve_user_id(signed_in: str | None, named: str | None) -> str:
    """Return the user whom a request belongs to.

    Parameters
    ----------
    signed_in
        The subject of the caller's token. It wins over whatever the request says.
    named
        The user that the request names.

    Returns
    -------
    The first of the two that is there, or :data:`ANONYMOUS`.
    """
    return signed_in or named or ANONYMOUS


def check_user_id(given: str) -> str:
    """Return ``given`` when it can be a user id.

    Raises
    ------
    InvalidRequest
    """
    if not 1 <= len(given) <= MAX_USER_ID_CHARACTERS or _HALF_CHARACTER.search(given):
        raise InvalidRequest(f"user id: 1 to {MAX_USER_ID_CHARACTERS} characters.")
    return given
