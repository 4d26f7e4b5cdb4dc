"""What is counted of a connection's messages."""

from __future__ import annotations

import pytest

from streamst.server.wire.native import pack_audio
from streamst.server.wire.summary import Rates
from streamst.server.wire.traffic import Traffic


@pytest.mark.parametrize(
    ("message", "from_client", "tls", "payload", "wire"),
    [
        ("", False, False, 0, 2 + 52),
        ("ü", False, False, 0, 2 + 2 + 52),
        ('{"type":"end"}', True, False, 0, 14 + 6 + 52),
        (pack_audio("neural", 0, 0, bytes(86)), True, True, 86, 12 + 86 + 6 + 22 + 52),
        (pack_audio("opus", 0, 0, bytes(114)), True, False, 114, 126 + 8 + 52),
        (pack_audio("pcm16", 0, 0, bytes(3200)), False, False, 3200, 3212 + 4 + 3 * 52),
        (bytes([9]) + bytes(20), False, False, 0, 21 + 2 + 52),
    ],
)
def test_a_message_costs_its_headers_too(
    message: str | bytes, from_client: bool, tls: bool, payload: int, wire: int
) -> None:
    traffic = Traffic(from_client, tls)
    traffic.add(message)
    assert (traffic.messages, traffic.payload_bytes, traffic.wire_bytes) == (1, payload, wire)
    assert traffic.message_bytes == len(message.encode() if isinstance(message, str) else message)


def test_rates_are_over_the_audio_that_was_spoken() -> None:
    traffic = Traffic(from_client=True)
    for number in range(5):
        traffic.add(pack_audio("neural", number, number * 3200, bytes(75)))
    wire_kbps = 5 * (75 + 12 + 6 + 52) * 8 / 1000
    assert vars(traffic.rates(1000.0)) == pytest.approx({"payload_kbps": 3.0, "wire_kbps": wire_kbps})
    assert traffic.rates(0.0) == Rates()
