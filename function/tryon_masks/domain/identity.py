"""Whom a request belongs to, and what a user may be called."""

from __future__ import annotations

import re

from tryon_masks.domain.errors import InvalidRequest

ANONYMOUS = "anonymous"
"""Who asks when nobody is named."""
USER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:+-]{0,127}")
"""It becomes part of document paths, hence no slash, and no dot or underscore in front."""


def user_of(signed_in: str | None, named: str | None) -> str:
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


def read_user_id(given: str) -> str:
    """``given``, when it can be a user id.

    Raises
    ------
    InvalidRequest
    """
    if not USER_ID.fullmatch(given):
        raise InvalidRequest(
            "user id: 1 to 128 letters, digits and _.@:+- starting with a letter or digit."
        )
    return given
