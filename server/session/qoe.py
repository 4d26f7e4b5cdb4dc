"""What a listener got: when the first word and the first speech came, and how smoothly the speech went on.

The listener is ideal: speech is played as soon as it comes and whatever was before has been played. A real player waits
a little before it begins, and so has fewer gaps and a longer delay.

    first_word_ms, first_audio_ms   from the arrival of the first audio until the first word or speech was said
    gaps        times with nothing to play between two pieces of speech: number, sum and longest [ms]
    underruns   those of them within one segment, where the speech should have gone on
    rate_changes, fastest_rate      how often the voice changed its pace, and how fast it went at most
"""

from __future__ import annotations

from dataclasses import dataclass

from streamst.events import Words
from streamst.server.wire.seam import Answer, Spoken
from streamst.server.wire.summary import Gaps, Listened

LEAST_GAP_MS = 20.0  # shorter ones nobody hears


@dataclass
class Listener:
    """Hears a session's answers as they are said."""

    first_word_ms: float | None = None
    first_audio_ms: float | None = None
    gaps: int = 0
    underruns: int = 0
    rate_changes: int = 0
    gap_ms: float = 0.0
    longest_gap_ms: float = 0.0
    fastest_rate: float = 1.0
    played_ms: float = 0.0  # when all that was said will have been played
    segment: int = -1  # of the last words
    spoken_segment: int = -1  # of the last speech
    rate: float = 1.0

    def hear(self, answer: Answer, emit_ms: float) -> None:
        """An answer was said `emit_ms` after the first audio came."""
        match answer:
            case Words():
                self.segment = answer.segment
                if self.first_word_ms is None:
                    self.first_word_ms = emit_ms
            case Spoken():
                self._play(answer, emit_ms)
            case _:
                pass

    def _play(self, speech: Spoken, emit_ms: float) -> None:
        if self.first_audio_ms is None:
            self.first_audio_ms = emit_ms
        elif emit_ms - self.played_ms >= LEAST_GAP_MS:
            gap_ms = emit_ms - self.played_ms
            self.gaps += 1
            self.gap_ms += gap_ms
            self.longest_gap_ms = max(self.longest_gap_ms, gap_ms)
            self.underruns += self.spoken_segment == self.segment
        self.played_ms = max(self.played_ms, emit_ms) + 1000 * speech.samples / speech.sample_rate_hz
        self.spoken_segment = self.segment
        self.rate_changes += speech.rate != self.rate
        self.rate = speech.rate
        self.fastest_rate = max(self.fastest_rate, speech.rate)

    def summary(self) -> Listened:
        """As the report says it."""
        return Listened(
            first_word_ms=self.first_word_ms,
            first_audio_ms=self.first_audio_ms,
            gaps=Gaps(count=self.gaps, sum_ms=self.gap_ms, longest_ms=self.longest_gap_ms),
            underruns=self.underruns,
            rate_changes=self.rate_changes,
            fastest_rate=self.fastest_rate,
        )
