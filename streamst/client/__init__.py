"""The websocket client: audio to a server, and what it says back as the same typed events that a local session gives.

async for event in stream("ws://127.0.0.1:8000", blocks, realtime=True):
    match event:
        case Caption(): ...

`listen(url)` yields what is said in a room, as one of its listeners.
"""

from .audio import Exchange
from .connect import stream_url
from .conversation import stream
from .reader import ServerEvent
from .room import Jump, listen, room_url

__all__ = ["Exchange", "Jump", "ServerEvent", "listen", "room_url", "stream", "stream_url"]
