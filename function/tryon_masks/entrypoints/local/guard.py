"""Who may talk to a server on somebody's own machine: that machine, and no web page of others.

A page from elsewhere can send requests to loopback (cross-site requests), and can have its own name
point there (DNS rebinding). The first shows in ``Origin``, the second in ``Host``.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

SAME = ("same-origin", "none")
"""What ``Sec-Fetch-Site`` says of the page itself, and of what somebody typed."""


class OnlyFromHere:
    """Lets requests through whose ``Host`` is one of ``hosts``, and whose page came from there.

    ``hosts``: names with ports, in lower case, as browsers send them.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._origins = frozenset(f"http://{host}" for host in self._hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's own."""
        if scope["type"] == "http" and (problem := self._problem(Headers(scope=scope))):
            await PlainTextResponse(problem, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, headers: Headers) -> str | None:
        if headers.getlist("host") != [headers.get("host", "").lower()] or (
            headers["host"] not in self._hosts
        ):
            return "This server answers to its own address only.\n"
        origin = headers.get("origin")
        if origin is not None and origin not in self._origins:
            return "This server answers to its own page only.\n"
        # What browsers say of links and pictures on other pages, which have no Origin.
        if headers.get("sec-fetch-site", "none") not in SAME:
            return "This server answers to its own page only.\n"
        return None
