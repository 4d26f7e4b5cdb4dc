"""The address of a server: taken first, told in full."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from streamst.errors import UnavailableError
from streamst.server.listening import bind, listen, reachable
from streamst.server.operator.options import ServerOptions


def test_an_address_that_is_bound_is_taken_and_connected_to_only_once_it_listens() -> None:
    options = ServerOptions(port=0)
    with bind(options) as bound:
        port = bound.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        assert listen(bound, options) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port), 5).close()
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1 port {port}: .*choose another port"):
            bind(ServerOptions(port=port))


def test_of_two_servers_that_start_at_once_the_second_is_told() -> None:
    with bind(ServerOptions(port=0)) as first:
        options = ServerOptions(port=first.getsockname()[1])
        with bind(options) as second:
            listen(first, options)
            with pytest.raises(UnavailableError, match="cannot listen"):
                listen(second, options)


def test_a_taken_port_is_told_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        code = (
            "import sys\nfrom streamst.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules)\n"
        )
        told = subprocess.run(
            [sys.executable, "-c", code, "serve", "--port", str(port)], capture_output=True, text=True, check=False
        )
    assert told.returncode != 0
    assert f"port {port}" in told.stderr
    assert told.stdout.strip() == "False"


def test_every_network_is_told_as_the_addresses_of_this_machine() -> None:
    told = reachable("https://0.0.0.0:8000")
    assert all(address.startswith("https://") and address.endswith(":8000") for address in told)
    assert not any("0.0.0.0" in address or "127." in address for address in told)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:8000", []),
        ("http://[::1]:8000", []),
        ("http://192.0.2.5:80", ["http://192.0.2.5:80"]),
        ("http://[2001:db8::5]:80", ["http://[2001:db8::5]:80"]),
    ],
)
def test_one_network_is_told_as_itself_and_this_machine_alone_as_nobody_else(address: str, told: list[str]) -> None:
    assert reachable(address) == told
