"""Servers on this machine's loopback interface, at an address that the service takes for public.

The service fetches photos from public addresses and from the ports 80 and 443 alone, and no setting
changes that. So the tests give this machine a second address out of a block that is public by its
number but that nobody announces, and let the kernel lead what arrives there to a server on
loopback. The address is the machine's own: nothing that is sent to it leaves the machine.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.stack.engine import Engine, PartMissingError

LOOPBACK = "127.0.0.1"
FOR_PROCESSES = "21.0.0.1"
FOR_CONTAINERS = "21.0.1.1"
CONTAINER_SUBNET = "21.0.1.0/24"
NETWORK = "tryon-masks-stack"
BRIDGE = "tryon-masks0"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def photo_server(files: Mapping[str, bytes]) -> Iterator[int]:
    """Serves ``files``, path -> bytes, as JPEG; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path.partition("?")[0])
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check() -> None:
    """Make sure that addresses can be led to loopback here.

    Raises
    ------
    PartMissingError
    """
    if os.geteuid() != 0:
        raise PartMissingError("only root can lead a public address to loopback")
    for tool in ("ip", "iptables"):
        if shutil.which(tool) is None:
            raise PartMissingError(f"{tool} is not installed")


@contextmanager
def from_processes(ports: Mapping[int, int]) -> Iterator[str]:
    """Lead :data:`FOR_PROCESSES` to loopback for this machine's processes; yields that address.

    Parameters
    ----------
    ports
        Port of the address -> port of loopback.

    Raises
    ------
    PartMissingError
    """
    check()
    with ExitStack() as undo:
        address = [f"{FOR_PROCESSES}/32", "dev", "lo"]
        # Replaced where a run that was killed has left it.
        _run("ip", "address", "replace", *address)
        undo.callback(_run, "ip", "address", "del", *address)
        for public, port in ports.items():
            undo.enter_context(_led_to_loopback(["OUTPUT"], FOR_PROCESSES, public, port))
        yield FOR_PROCESSES


@contextmanager
def from_containers(engine: Engine, ports: Mapping[int, int]) -> Iterator[str]:
    """Make the network :data:`NETWORK`, whose gateway leads to loopback; yields that address.

    It leads there for this machine's own processes, too: what a function answers can be read here.

    Raises
    ------
    PartMissingError
    """
    check()
    # A run that was killed has left it.
    engine.run("network", "rm", NETWORK, check=False)
    with ExitStack() as undo:
        engine.run(
            *("network", "create", "--driver", "bridge", "--subnet", CONTAINER_SUBNET),
            *("--gateway", FOR_CONTAINERS, "--opt", f"com.docker.network.bridge.name={BRIDGE}"),
            NETWORK,
        )
        undo.callback(engine.run, "network", "rm", NETWORK)
        Path("/proc/sys/net/ipv4/conf", BRIDGE, "route_localnet").write_text("1")
        for public, port in ports.items():
            for chain in (["PREROUTING", "--in-interface", BRIDGE], ["OUTPUT"]):
                undo.enter_context(_led_to_loopback(chain, FOR_CONTAINERS, public, port))
        yield FOR_CONTAINERS


@contextmanager
def _led_to_loopback(chain: list[str], address: str, public: int, port: int) -> Iterator[None]:
    rule = [*chain, "--destination", address, "--protocol", "tcp", "--dport", str(public)]
    rule += ["--jump", "DNAT", "--to-destination", f"{LOOPBACK}:{port}"]
    _run("iptables", "--table", "nat", "--insert", *rule)
    try:
        yield
    finally:
        _run("iptables", "--table", "nat", "--delete", *rule)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
