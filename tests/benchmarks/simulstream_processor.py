"""Our model behind the seam of simulstream's server (`SpeechProcessor`), for `stream_peers.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from simulstream.server.speech_processors import SpeechProcessor  # type: ignore[import-not-found]
from simulstream.server.speech_processors.incremental_output import (  # type: ignore[import-not-found]
    IncrementalOutput,
)

from streamst.events import Event, Words
from streamst.pipeline import Pipeline, load


class StreamstProcessor(SpeechProcessor):
    """A session; all processors of the pool share one model."""

    _pipeline: Pipeline | None = None

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__(config)
        self.load_model(config)
        self.clear()

    @classmethod
    def load_model(cls, config: SimpleNamespace) -> None:  # noqa: ARG003  (simulstream gives it)
        """Once a process."""
        if cls._pipeline is None:
            torch.set_num_threads(1)
            cls._pipeline = load(device="cpu", precision="auto")

    def process_chunk(self, waveform: Any) -> Any:
        """The words that this chunk decides."""
        return self._output(self._session.push(np.asarray(waveform, np.float32)))

    def end_of_stream(self) -> Any:
        """The words that were held."""
        return self._output(self._session.finish())

    def set_source_language(self, language: str) -> None:
        """English only."""

    def set_target_language(self, language: str) -> None:
        """German only."""

    def tokens_to_string(self, tokens: list[str]) -> str:
        """Words with spaces."""
        return " ".join(tokens)

    def clear(self) -> None:
        """A fresh session."""
        assert self._pipeline is not None
        self._session = self._pipeline.session(latency=self.config.latency, speech=False)

    def _output(self, events: list[Event]) -> Any:
        words = [word for event in events if isinstance(event, Words) for word in event.words]
        return IncrementalOutput(words, self.tokens_to_string(words), [], "")
