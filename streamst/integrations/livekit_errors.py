"""Our errors in LiveKit's words, and LiveKit's frames in ours."""

from __future__ import annotations

from livekit import rtc
from livekit.agents import APIConnectionError, APIError, APIStatusError

from streamst.audio import Pcm, to_pcm16
from streamst.errors import ProtocolError, StreamstError, UnavailableError
from streamst.server.wire import codes

from .frames import Frames


def api_error(error: StreamstError) -> APIError:
    """`error` as LiveKit retries it, or not."""
    if isinstance(error, UnavailableError):
        return APIConnectionError(str(error))
    if isinstance(error, ProtocolError):
        return APIStatusError(str(error), status_code=codes.HTTP_STATUS.get(error.code, 400))
    return APIError(str(error), retryable=False)


def heard(frames: Frames, frame: rtc.AudioFrame) -> Pcm:
    """What a frame completes; InputError for one that is not usable."""
    return frames.push(frame.data.cast("B"), frame.sample_rate, frame.num_channels)


def spoken(pcm: Pcm, rate_hz: int) -> rtc.AudioFrame:
    """(samples,) as a frame."""
    return rtc.AudioFrame(to_pcm16(pcm), rate_hz, 1, len(pcm))
