"""StreamST as a speech processor of simulstream 1.0, the harness of IWSLT's simultaneous task.

    type: streamst.integrations.simulstream.StreamstProcessor
    speech_chunk_size: 0.32

behind simulstream's own servers, its HTTP one of `deploy/simulstream/` among them, or in `simulstream_inference`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from simulstream.server.speech_processors import SAMPLE_RATE, SpeechProcessor
from simulstream.server.speech_processors.incremental_output import IncrementalOutput

from streamst.errors import InputError
from streamst.events import Event, Words
from streamst.pipeline import Pipeline, load

WISHES = ("recogniser", "writer", "device")  # of the configuration, as `streamst.load` has them
CHOICES = ("latency", "policy")  # likewise, as `Pipeline.session` has them


class StreamstProcessor(SpeechProcessor):
    """One speaker. All processors of a process share one model; what is written never changes again."""

    _pipeline: Pipeline | None = None

    def __init__(self, config: SimpleNamespace) -> None:
        """config: `speech_chunk_size` [s], and any of WISHES and CHOICES. InputError for what is not possible."""
        super().__init__(config)
        self.load_model(config)
        self._target: str | None = None
        self.clear()

    @classmethod
    def load_model(cls, config: SimpleNamespace) -> None:
        """Once a process."""
        if cls._pipeline is None:
            torch.set_num_threads(1)
            wishes = {name: value for name, value in vars(config).items() if name in WISHES}
            cls._pipeline = load(**{"device": "cpu", "precision": "auto", **wishes})

    def process_chunk(self, waveform: Any) -> Any:
        """The words that this chunk (samples,) at 16 kHz decides."""
        return self._output(self._session.push(np.array(waveform, np.float32)))

    def end_of_stream(self) -> Any:
        """The words that were held."""
        return self._output(self._session.finish())

    def set_source_language(self, language: str) -> None:
        """InputError for one that is not heard."""
        self._require(language, [self._model.source], "heard")

    def set_target_language(self, language: str) -> None:
        """InputError for one that is not written."""
        self._require(language, self._model.targets, "written")
        if language != self._target:
            self._target = language
            self.clear()

    def tokens_to_string(self, tokens: list[str]) -> str:
        """Words with spaces."""
        return " ".join(tokens)

    def clear(self) -> None:
        """A fresh session."""
        choices = {name: value for name, value in vars(self.config).items() if name in CHOICES}
        self._session = self._model.session(self._target, speech=False, **choices)
        if self._session.sample_rate_hz != SAMPLE_RATE:
            raise InputError(f"the model hears {self._session.sample_rate_hz} Hz, simulstream sends {SAMPLE_RATE}")

    @property
    def _model(self) -> Pipeline:
        assert self._pipeline is not None
        return self._pipeline

    def _require(self, language: str, known: Any, what: str) -> None:
        if language not in known:
            raise InputError(f"language {language!r} is not {what} here; allowed: {', '.join(known)}")

    def _output(self, events: list[Event]) -> Any:
        words = [word for event in events if isinstance(event, Words) for word in event.words]
        return IncrementalOutput(words, self.tokens_to_string(words), [], "")
