"""Who calls: what API Gateway's authorizer has found out, and nothing that a body says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tryon_masks.domain.errors import BadRequest
from tryon_masks.domain.identity import check_user_id, resolve_user_id


class NotSignedIn(BadRequest):
    """Nobody can be held to be the caller. API Gateway says so first where it has an authorizer."""

    code: ClassVar[str] = "NOT_SIGNED_IN"
    status: ClassVar[int] = 401
    message: ClassVar[str] = "Sign in first."


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request.

    Attributes
    ----------
    owner
        To whom uploads and jobs belong: a token's subject, or an AWS principal whatever its
        session. None: no authorizer stands before the function, as under ``sam local``.
    user_id
        A token's subject, who is the user whatever the body says. None for an AWS principal: a
        backend speaks for its users and names them in the body.
    """

    owner: str | None = None
    user_id: str | None = None

    @classmethod
    def from_request_context(cls, request_context: Mapping[str, Any]) -> Caller:
        """Read the caller from ``requestContext`` of an HTTP API's event, yet unchecked."""
        match request_context.get("authorizer"):
            case None:
                return cls()
            case {"jwt": {"claims": {"sub": str(sub)}}}:
                return cls(sub, sub)
            case {"iam": {"userId": str(principal)}}:
                # AROA...:session for a role; the next call may come from another session.
                return cls(principal.partition(":")[0])
            case _:
                return cls(owner="")

    @property
    def name(self) -> str:
        """Return the caller's name for the log."""
        return resolve_user_id(self.user_id, None)

    def known(self) -> str:
        """Return the owner of the caller's uploads and jobs.

        Raises
        ------
        NotSignedIn
        """
        if self.owner is None:
            raise NotSignedIn
        return self.owner

    def check(self) -> None:
        """Make sure that this is somebody.

        Raises
        ------
        NotSignedIn
            An authorizer let somebody in and does not say whom.
        InvalidRequest
            A token's subject cannot be a user id.
        """
        if self.owner == "":
            raise NotSignedIn
        if self.user_id is not None:
            check_user_id(self.user_id)
