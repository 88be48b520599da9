from __future__ import annotations

from typing import Any

import pytest

from tryon_masks.domain.errors import InvalidRequest
from tryon_masks.entrypoints.http.caller import Caller, NotSignedIn


def jwt(**claims: Any) -> dict[str, Any]:
    return {"authorizer": {"jwt": {"claims": claims, "scopes": None}}}


def iam(user_id: str) -> dict[str, Any]:
    return {"authorizer": {"iam": {"userId": user_id, "accountId": "123456789012"}}}


@pytest.mark.parametrize(
    ("context", "caller"),
    [
        (jwt(sub="user-1", aud="app"), Caller(owner="user-1", user_id="user-1")),
        (iam("AROACKCEVSQ6C2EXAMPLE:session-1"), Caller(owner="AROACKCEVSQ6C2EXAMPLE")),
        (iam("AROACKCEVSQ6C2EXAMPLE:session-2"), Caller(owner="AROACKCEVSQ6C2EXAMPLE")),
        (iam("AIDACKCEVSQ6C2EXAMPLE"), Caller(owner="AIDACKCEVSQ6C2EXAMPLE")),
        ({}, Caller()),
    ],
)
def test_the_authorizer_says_who_calls(context: dict[str, Any], caller: Caller) -> None:
    assert Caller.from_request_context(context) == caller
    caller.check()


@pytest.mark.parametrize(
    "authorizer",
    [
        {},
        {"jwt": {"claims": {"aud": "app"}}},
        {"jwt": {"claims": {"sub": ""}}},
        {"iam": {"userId": ""}},
    ],
)
def test_an_authorizer_that_names_nobody_lets_nobody_in(authorizer: dict[str, Any]) -> None:
    with pytest.raises(NotSignedIn):
        Caller.from_request_context({"authorizer": authorizer}).check()


def test_a_subject_that_cannot_be_a_user_id_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Caller.from_request_context(jwt(sub="a" * 129)).check()
