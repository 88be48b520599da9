"""``tryon-masks serve``: the HTTP API and a page to look at, on this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tryon_masks.entrypoints.commands import options as given
from tryon_masks.entrypoints.commands.making import Session
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HTTP_PORT = 80
"""HTTP's own, which clients leave out of addresses."""


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The one address to listen at.")
    ] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=1, max=65535, metavar="N")] = 8000,
    _verbose: given.Verbose = False,
) -> int:
    """Serve the HTTP API and a page for a browser, on this machine."""
    # Here, because they are of an extra, and so that --version and --help need not load the rest.
    import uvicorn

    from tryon_masks.entrypoints.local.app import create_app
    from tryon_masks.library import MaskMaker
    from tryon_masks.wiring import build_local

    session: Session = ctx.obj
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - it is refused
        raise given.UsageError("--host takes one address: requests to other names are refused")
    hosts = _hosts(host, port)
    address = f"http://{hosts[0]}"
    settings = Settings.from_env(session.environ, on_lambda=False)
    maker = MaskMaker(
        settings.model_set, models_dir=settings.models_dir, threads=settings.ort_threads
    )
    with init_log("serve"):
        parts = build_local(settings, maker.vision, address)
    print(f"{address}/ (Ctrl-C ends it)", file=sys.stderr, flush=True)
    uvicorn.run(
        create_app(maker, parts, hosts, settings.work_tries),
        host=host,
        port=port,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return 0


def _hosts(address: str, port: int) -> list[str]:
    """What clients send as ``Host`` to this address and port, that of the address first."""
    names = dict.fromkeys([address.lower(), *(LOOPBACK if address in LOOPBACK else ())])
    written = [f"[{name}]" if ":" in name else name for name in names]
    hosts = [f"{name}:{port}" for name in written]
    return [*hosts, *written] if port == HTTP_PORT else hosts
