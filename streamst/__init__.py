"""StreamST: streaming speech translation, English speech in, German text and speech out while it is still spoken."""

__version__ = "0.1.0"
