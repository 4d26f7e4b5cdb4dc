"""The websocket client: audio to a server, and what it says back as the same typed events that a local session gives.

async for event in stream("ws://127.0.0.1:8000", blocks, realtime=True):
    match event:
        case Caption(): ...
"""

from .audio import Exchange
from .connect import stream_url
from .conversation import stream
from .reader import ServerEvent

__all__ = ["Exchange", "ServerEvent", "stream", "stream_url"]
