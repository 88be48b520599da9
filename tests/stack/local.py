"""The whole service on this machine until Ctrl-C: ``make local``.

The image, the deployed template, Cloudinary's stand-in and an emulator of Firestore, as the tests
of the stack have them, but with the template's own waits. ``.make/local.env`` tells a shell where
everything is. All of it ends with this process, the file too; what stays is what was built.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from tests.demo_photos import SITTING, STANDING, demo_photo
from tests.stack import base_image, loopback
from tests.stack.deployed import (
    NAME,
    Deployed,
    deploy,
    in_cloudinary,
    in_firestore,
    surroundings,
)
from tests.stack.engine import PartMissingError, engine
from tests.stack.local_aws import ACCOUNT
from tests.stack.sam import REGION, ROOT, Sam, emulator

from tryon_masks.settings import Settings

ENVIRONMENT = ROOT / ".make" / "local.env"
BUILT = ROOT / ".aws-sam"
"""Where ``sam build`` builds by itself, so that ``sam local`` finds it."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PHOTOS = {"/photos/standing.jpg": STANDING, "/photos/sitting.jpg": SITTING}
"""Those that the events name."""
UPLOAD = "uploads/user-1/Jäger photo (1).jpg"
DOCUMENT = "uploads/user-1/data.json"
"""The objects that the events of S3 tell of."""
READY = "ready"


class Stopped(Exception):
    """Somebody wants it to end."""


def main() -> int:
    """Run until a signal comes; the exit code."""
    try:
        with ending_in_peace(), running() as there:
            tell(there)
            while True:
                signal.pause()
    except PartMissingError as error:
        print(f"make local cannot run: {error}", file=sys.stderr)
        return 1
    return 0


@contextmanager
def ending_in_peace() -> Iterator[None]:
    """End the block at the first signal; those that follow do not disturb its ending."""

    def stop(number: int, frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped

    for one in SIGNALS:
        signal.signal(one, stop)
    try:
        yield
    except Stopped:
        say("ended: nothing is left")


@contextmanager
def running() -> Iterator[Deployed]:
    """The service while the block runs.

    Raises
    ------
    PartMissingError
    """
    with ExitStack() as stack:
        started = stack.enter_context(engine())
        say("starting: " + ("an engine of its own" if started.private else started.host))
        base_image.ensure(started, emulator())
        sam = Sam(started, BUILT, Settings.model_set)
        say("sam build: the image")
        sam.build()
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tryon-masks-local-")))
        there = stack.enter_context(surroundings(sam, folder))
        say("deploying the template")
        deploy(sam, there, in_cloudinary(there) | in_firestore(there), hurried=False)
        for path, pattern in PHOTOS.items():
            there.photos[path] = demo_photo(pattern)
        upload(there)
        say("loading the models")
        there.wait_until_ready()
        address = stack.enter_context(api(there))
        stack.enter_context(environment(there, address))
        yield there


def upload(there: Deployed) -> None:
    """Put what the events tell of into the photo bucket; the worker takes it up at once."""
    document = {"name": "Ada", "userImageUrl": there.photo_url("/photos/standing.jpg")}
    s3, bucket = there.aws.client("s3"), there.outputs["PhotoBucketName"]
    s3.put_object(Bucket=bucket, Key=UPLOAD, Body=there.photos["/photos/standing.jpg"])
    s3.put_object(Bucket=bucket, Key=DOCUMENT, Body=json.dumps(document).encode())


@contextmanager
def api(there: Deployed) -> Iterator[str]:
    """The API at an address of its own, as a custom domain is."""
    gateway = there.aws.client("apigatewayv2")
    with loopback.from_processes({80: there.aws.port}) as domain:
        certificate = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1"
        gateway.create_domain_name(
            DomainName=domain, DomainNameConfigurations=[{"CertificateArn": certificate}]
        )
        gateway.create_api_mapping(DomainName=domain, ApiId=there.physical("Api"), Stage="$default")
        yield f"http://{domain}"


@contextmanager
def environment(there: Deployed, api_url: str) -> Iterator[None]:
    """The file that tells a shell where everything is."""
    backend = there.caller("backend")
    variables = {
        **there.environ,
        "AWS_REGION": REGION,
        "API_URL": api_url,
        "PHOTOS": there.photo_url(""),
        "WORK_QUEUE_URL": there.outputs["WorkQueueUrl"],
        # What `sam local` needs to run beside it.
        "DOCKER_HOST": there.engine.host,
        "SAM_DOCKER_NETWORK": loopback.NETWORK,
        "SAM_CLI_TELEMETRY": "0",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.write_text(
        "\n".join(lines)
        + f"""
# curl, signed as a backend that may call the API.
signed() {{
  curl -sS --aws-sigv4 aws:amz:{REGION}:execute-api --user '{backend.key}:{backend.secret}' \\
    -H 'content-type: application/json' "$@"
}}
"""
    )
    try:
        yield
    finally:
        ENVIRONMENT.unlink()


def tell(there: Deployed) -> None:
    """Print what is where."""
    file = ENVIRONMENT.relative_to(ROOT)
    say(f"""
  API         http://{loopback.FOR_PROCESSES}
  photos      {there.photo_url("/photos/standing.jpg")}
  AWS         {there.endpoint}, buckets {NAME}-photos ...
  Cloudinary  {there.cloudinary.origin}/standin/uploads lists what it has
  Firestore   {there.firestore.host}

In another terminal:

  source {file}
  signed "$API_URL/v1/health"
  signed "$API_URL/v1/masks" -d "{{\\"user_image_url\\": \\"$PHOTOS/photos/standing.jpg\\"}}"

docs/local.md goes on from there.
""")
    say(f"{READY}: Ctrl-C ends it")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
