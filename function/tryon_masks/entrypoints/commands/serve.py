"""``tryon-masks serve``: the HTTP API and a page to look at, on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

from tryon_masks.entrypoints.commands.arguments import UsageError, logging_arguments
from tryon_masks.entrypoints.commands.making import Wire
from tryon_masks.settings import Settings
from tryon_masks.telemetry import init_log

LOOPBACK = ("127.0.0.1", "localhost")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser's ``commands``."""
    serve = commands.add_parser(
        "serve",
        parents=[logging_arguments()],
        help="the HTTP API and a page to look at, on this machine",
    )
    serve.add_argument(
        "--host",
        default=LOOPBACK[0],
        metavar="ADDRESS",
        help="the one address to listen at (default: 127.0.0.1, this machine only)",
    )
    serve.add_argument("--port", type=int, default=8000, help="default: 8000")
    serve.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Mapping[str, str], _wire: Wire) -> int:
    """Run the command and return its exit code."""
    # Here, because they are of an extra, and so that --version and --help need not load the rest.
    import uvicorn

    from tryon_masks.entrypoints.local.app import MASKS, create_app
    from tryon_masks.library import MaskMaker
    from tryon_masks.wiring import build_local

    if args.host in ("0.0.0.0", "::", ""):  # noqa: S104 - it is refused
        raise UsageError("--host takes one address: requests to other names are refused")
    names = {args.host.lower()} | (set(LOOPBACK) if args.host in LOOPBACK else set())
    hosts = [f"{name}:{args.port}" for name in names]
    address = f"http://{args.host}:{args.port}"
    settings = Settings.from_env(environ, on_lambda=False)
    maker = MaskMaker(
        settings.model_set, models_dir=settings.models_dir, threads=settings.ort_threads
    )
    with init_log("serve"):
        service, store = build_local(settings, maker.vision, f"{address}{MASKS}")
    print(f"{address}/ (Ctrl-C ends it)", file=sys.stderr, flush=True)
    uvicorn.run(
        create_app(maker, service, store, hosts),
        host=args.host,
        port=args.port,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return 0
