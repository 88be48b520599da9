"""Masks of one photo, into files beside it::

    python one_photo.py API_URL PHOTO [NUMBER]

NUMBER says who is meant where there are several, from 1. TOKEN in the environment: a Firebase ID
token.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import requests

TRIES = 5
PASSING = (409, 503)
"""The same request is being worked on, or a part of the service is away."""


def make_masks(api_url: str, body: dict[str, Any], token: str | None) -> dict[str, Any]:
    """Return the API's answer; with status ``refused`` or ``partial``, ``refused`` says why.

    Raises
    ------
    RuntimeError
        The API says that it has no answer, with a code of docs/answers.md.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for tried in range(1, TRIES + 1):
        response = requests.post(f"{api_url}/v1/masks", json=body, headers=headers, timeout=60)
        answer: dict[str, Any] = response.json()
        if "masks" in answer:
            return answer
        if response.status_code not in PASSING or tried == TRIES:
            break
        time.sleep(float(response.headers.get("Retry-After", tried)))
    raise RuntimeError(f"{response.status_code}: {answer.get('error', answer)}")


def main(api_url: str, path: str, number: str | None = None) -> int:
    """Make the masks, say what was refused; the exit code."""
    token = os.environ.get("TOKEN")
    photo = Path(path)
    body: dict[str, Any] = {"image": base64.b64encode(photo.read_bytes()).decode()}
    answer = make_masks(api_url, body, token)
    if people := answer.get("people"):
        if number is None:
            print("There are several people in the photo:", file=sys.stderr)
            for place, person in enumerate(people, 1):
                print(place, *person["box"], file=sys.stderr)
            return 3
        body["person_box"] = people[int(number) - 1]["box"]
        answer = make_masks(api_url, body, token)
    for name, address in answer["masks"].items():
        mask = requests.get(address, timeout=60)
        mask.raise_for_status()
        file = photo.with_suffix(f".{name}.png")
        file.write_bytes(mask.content)
        print(file)
    for refused in answer["refused"]:
        print("{mask}: {code}: {message}".format_map(refused), file=sys.stderr)
    return int(answer["status"] == "refused")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("python one_photo.py API_URL PHOTO [NUMBER]")
    sys.exit(main(*sys.argv[1:]))
