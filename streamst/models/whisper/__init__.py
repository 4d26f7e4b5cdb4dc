"""Whisper's weights as a streaming recogniser: an encoder that hears in chunks, and its decoder over cached states."""
