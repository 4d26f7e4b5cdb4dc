"""A recording heard and translated at once, without a session: for training, tests and measurements."""

from __future__ import annotations

from typing import Any, TypeVar

from streamst.audio import Pcm
from streamst.models.glossary import Glossary
from streamst.models.seam import NO_GLOSSARY, Hear, Recogniser, Write, Writer
from streamst.models.segment import ended
from streamst.policies.base import Hypothesis

L = TypeVar("L")


def hear(recogniser: Recogniser[L], pcm: Pcm, chunk_ms: int, glossary: Glossary = NO_GLOSSARY, final: bool = True) -> L:
    """The state after all of `pcm` (samples,) in chunks of `chunk_ms`; where not `final`, after the whole ones."""
    size, state = recogniser.chunk_samples(chunk_ms), recogniser.init_state(glossary)
    while len(pcm) >= size:
        (state,) = recogniser.hear_all([Hear(pcm[:size], state, chunk_samples=size)])
        pcm = pcm[size:]
    return recogniser.hear_all([Hear(pcm, state, True, size)])[0] if final else state


def heard_text(recogniser: Recogniser[Any], pcm: Pcm, chunk_ms: int) -> str:
    """All words of `pcm`."""
    return " ".join(word.text for word in recogniser.listening(hear(recogniser, pcm, chunk_ms)).words)


def write(recogniser: Recogniser[Any], writer: Writer, state: Any, target: str) -> Hypothesis:
    """What `writer` makes of all the words heard, as one sentence."""
    heard = recogniser.listening(state)
    return writer.write_all([Write(heard.words, heard.frames, (), True, target)])[0]


def translate(recogniser: Recogniser[Any], writer: Writer, state: Any, target: str) -> str:
    """What `writer` makes of all the words heard, segment by segment."""
    said = []
    while True:
        heard = recogniser.listening(state)
        count = ended(heard, recogniser.segments) or len(heard.words)
        if not count:
            return " ".join(filter(None, said))
        (found,) = writer.write_all([Write(heard.words[:count], heard.frames, (), True, target)])
        said.append(writer.detokenize(target, found.tokens))
        rest = heard.words[count:]
        state = recogniser.forget(state, count, rest[0].first_frame if rest else heard.frames)
