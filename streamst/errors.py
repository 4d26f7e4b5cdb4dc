"""What can go wrong, by whose fault. Every message names the value and what is allowed."""


class StreamstError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(StreamstError):
    """The caller's audio, text, file or parameter is not usable."""


class ConfigError(StreamstError):
    """A configuration, recipe or option has an unknown key or an impossible value."""


class CheckpointError(StreamstError):
    """Weights are missing, damaged (hash), or do not fit their configuration."""


class ProtocolError(StreamstError):
    """A peer broke the wire protocol, or cannot be served. `code` is the websocket close code that answers it,
    `retry_after_s` when trying again may help, where that is known."""

    def __init__(self, message: str, code: int = 1008, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after_s = code, retry_after_s


class UnavailableError(StreamstError):
    """Something optional is not installed or not present here; the message says how to get it."""
