"""Calls over HTTP in the shapes that AWS hands them over in, as one: an HTTP API's, payload 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from tryon_masks.domain.errors import UnknownEvent

_KNOWN_PATH = re.compile(r"/v1/(masks|uploads|batches|health|(jobs|batches)/[^/]+)")


@dataclass(frozen=True)
class HttpCall:
    """One call.

    ``event`` is an HTTP API's event whose path begins at the routes; ``mapping`` is what stood
    before them: the key of a custom domain's API mapping, a stage, or both; ``""`` as a rule.
    """

    event: dict[str, Any]
    mapping: str
    of_rest_api: bool


def read_call(event: Mapping[str, Any]) -> HttpCall:
    """Read the call from an event of an HTTP API, a REST API or a function URL.

    Raises
    ------
    UnknownEvent
    """
    match event:
        case {
            "rawPath": str(path),
            "requestContext": {"requestId": str(), "http": {"method": str()}} as context,
        }:
            call, of_rest_api = dict(event), False
        case {
            "httpMethod": str(),
            "path": str(path),
            "requestContext": {"requestId": str()} as context,
        }:
            call, of_rest_api = _of_rest_api(event), True
            context = call["requestContext"]
        case _:
            raise UnknownEvent
    if not isinstance(call.get("body"), str | None):
        raise UnknownEvent
    mapping, path = _split(path, str(call.get("routeKey") or ""))
    call["rawPath"] = path
    call["rawQueryString"] = str(call.get("rawQueryString") or "")
    for name in ("headers", "queryStringParameters"):
        call[name] = _texts(call.get(name))
    call["isBase64Encoded"] = bool(call.get("isBase64Encoded"))
    # No route has any.
    call.pop("cookies", None)
    # The framework would look for the stage in the path, which is out of it now.
    call["requestContext"] = {
        **context,
        "http": {**context["http"], "path": path},
        "stage": "$default",
    }
    return HttpCall(call, mapping, of_rest_api)


def _split(path: str, route_key: str) -> tuple[str, str]:
    """Return what stands before the route's path, and that path.

    An API that routes by itself names the route; else the path of one is looked for at the end.
    """
    _, _, route = route_key.partition(" ")
    if route == "/":
        return path.rstrip("/"), "/"
    parts, own = path.split("/"), route.split("/")[1:]
    place = len(parts) - len(own)
    if place > 0 and own and all(map(_stands_for, own, parts[place:])):
        return "/".join(parts[:place]), "/" + "/".join(parts[place:])
    for start in range(len(path)):
        if path[start] == "/" and _KNOWN_PATH.fullmatch(path, start):
            return path[:start], path[start:]
    return "", path


def _stands_for(name: str, asked: str) -> bool:
    return name == asked or bool(asked and re.fullmatch(r"\{\w+\}", name))


def _texts(given: object) -> dict[str, str]:
    """Return the members of ``given`` that are text."""
    if not isinstance(given, Mapping):
        return {}
    return {str(name): value for name, value in given.items() if isinstance(value, str)}


def _of_rest_api(event: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a REST API's event (payload 1) into an HTTP API's."""
    context, resource = event["requestContext"], event.get("resource") or ""
    method = event["httpMethod"]
    query = _texts(event.get("queryStringParameters"))
    return {
        "version": "2.0",
        "routeKey": f"{method} {resource}" if resource else "$default",
        "rawPath": quote(event["path"], safe="/%:@!$&'()*+,;=~"),
        "rawQueryString": urlencode(query),
        "queryStringParameters": query,
        "headers": event.get("headers"),
        "requestContext": {
            "requestId": context["requestId"],
            "http": {"method": method, "path": event["path"]},
            **_authorizer(context),
        },
        "body": event.get("body"),
        "isBase64Encoded": event.get("isBase64Encoded"),
    }


def _authorizer(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return who was let in, as an HTTP API says it; an unknown way of saying it stays as it is."""
    match context:
        case {"authorizer": {"claims": {**claims}}}:
            return {"authorizer": {"jwt": {"claims": claims}}}
        case {"authorizer": {**other}} if other:
            return {"authorizer": other}
        case {"identity": {"userArn": str(), "caller": str(caller)}}:
            return {"authorizer": {"iam": {"userId": caller}}}
        case _:
            return {}
