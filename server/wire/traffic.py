"""What a connection carries one way: the codec's bytes, and what they cost on the wire with everything around them.

On the wire: what a network has to carry, the websocket's own header (RFC 6455, section 5.2), 22 bytes of a TLS 1.3
record where there is one, and 52 bytes of TCP and IPv4 with time stamps for each segment of 1448. Acknowledgements and
repeated segments are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from .native import AUDIO, HEADER
from .summary import Rates

TLS_BYTES = 22
SEGMENT_BYTES, SEGMENT_HEADER_BYTES = 1448, 52
MASK_BYTES = 4


@dataclass
class Traffic:
    """Counts the messages of one direction."""

    from_client: bool  # whose messages are masked
    tls: bool = False
    messages: int = 0
    message_bytes: int = 0
    payload_bytes: int = 0  # of audio, as the codec made it
    wire_bytes: int = 0

    def add(self, message: str | bytes) -> None:
        """Count a message."""
        size = len(message.encode(errors="replace")) if isinstance(message, str) else len(message)
        if isinstance(message, bytes) and message[:1] == bytes([AUDIO]):
            self.payload_bytes += max(0, size - HEADER.size)
        framed = size + 2 + (0 if size < 126 else 2 if size < 1 << 16 else 8) + MASK_BYTES * self.from_client
        framed += TLS_BYTES * self.tls
        self.messages += 1
        self.message_bytes += size
        self.wire_bytes += framed + -(-framed // SEGMENT_BYTES) * SEGMENT_HEADER_BYTES

    def rates(self, audio_ms: float) -> Rates:
        """Mean rates for a stream of which `audio_ms` were spoken so far."""
        over = 8 / audio_ms if audio_ms > 0 else 0.0
        return Rates(payload_kbps=self.payload_bytes * over, wire_kbps=self.wire_bytes * over)
