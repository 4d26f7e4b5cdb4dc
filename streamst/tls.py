"""A certificate made on the spot: browsers give other devices of a local network a microphone only over https."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamst.errors import UnavailableError

DAYS = 30


@contextmanager
def self_signed(host: str) -> Iterator[tuple[str, str]]:
    """Paths of a certificate and its key (PEM) for this machine's names; both vanish with the context.

    Raises UnavailableError without the `openssl` command.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise UnavailableError("--tls-self-signed needs the openssl command: apt install openssl")
    with tempfile.TemporaryDirectory(prefix="streamst-tls-") as directory:
        certificate, key = Path(directory, "certificate.pem"), Path(directory, "key.pem")
        command = [
            openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-days", str(DAYS), "-subj", "/CN=StreamST", "-addext", f"subjectAltName={','.join(names(host))}",
            "-keyout", str(key), "-out", str(certificate),
        ]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise UnavailableError(f"openssl made no certificate: {made.stderr.strip().splitlines()[-1]}")
        yield str(certificate), str(key)


def names(host: str) -> list[str]:
    """What the certificate is for: `host`, this machine's name and addresses, and the loopback ones."""
    found = {"localhost", "127.0.0.1", "::1", socket.gethostname(), host} - {"0.0.0.0", "::", ""}
    with suppress(OSError):  # a machine without an entry for its own name has no address to add
        found |= {str(entry[4][0]).partition("%")[0] for entry in socket.getaddrinfo(socket.gethostname(), None)}
    return [f"IP:{name}" if _is_address(name) else f"DNS:{name}" for name in sorted(found)]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
