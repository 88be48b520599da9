"""Masks of many photos, a few side by side: an answer a line, as they come::

    python many_photos.py API_URL PHOTO ...

TOKEN in the environment: a Firebase ID token.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

AT_ONCE = 4
TRIES = 5
PASSING = (409, 503)
"""The same request is being worked on, or a part of the service is away."""


async def make_masks(client: httpx.AsyncClient, photo: Path) -> dict[str, Any]:
    """Return the API's answer, whatever it is."""
    image = base64.b64encode(await asyncio.to_thread(photo.read_bytes)).decode()
    # Of a group, whoever is largest.
    body = {"image": image, "masks": ["upper", "lower"], "person": "largest"}
    for tried in range(1, TRIES + 1):
        response = await client.post("/v1/masks", json=body)
        if response.status_code not in PASSING or tried == TRIES:
            break
        await asyncio.sleep(float(response.headers.get("Retry-After", tried)))
    answer: dict[str, Any] = response.json()
    return answer


async def main(api_url: str, photos: Sequence[str]) -> int:
    """Print each answer as it comes; the exit code."""
    token = os.environ.get("TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    turns, failed = asyncio.Semaphore(AT_ONCE), 0
    async with httpx.AsyncClient(base_url=api_url, headers=headers, timeout=60) as client:

        async def one(photo: str) -> tuple[str, dict[str, Any]]:
            async with turns:
                return photo, await make_masks(client, Path(photo))

        for done in asyncio.as_completed(map(one, photos)):
            photo, answer = await done
            failed += answer.get("status") not in ("success", "partial")
            print(json.dumps({"photo": photo, **answer}), flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("python many_photos.py API_URL PHOTO ...")
    sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2:])))
