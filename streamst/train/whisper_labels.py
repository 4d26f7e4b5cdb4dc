"""Transcripts in capitals, dressed in the case and the marks that Whisper writes for the same recording."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch.nn.utils.rnn import pad_sequence

from streamst.audio import SAMPLE_RATE_HZ, Pcm, read_audio
from streamst.models.whisper.encoder import FRAME_SAMPLES, PLACES
from streamst.models.whisper.recogniser import WhisperRecogniser

FILL = 400  # frames of silence after the memory
MOST_PER_FRAME = 0.16  # tokens
TOGETHER_S = 60.0
ALWAYS = {"i": "I", "i'm": "I'm", "i'll": "I'll", "i've": "I've", "i'd": "I'd"}


@torch.inference_mode()
def written(ear: WhisperRecogniser, recordings: Sequence[Pcm]) -> list[str]:
    """What `ear` writes, greedily, of whole recordings at 16 kHz."""
    frames = [len(pcm) // FRAME_SAMPLES for pcm in recordings]
    pcm = pad_sequence([torch.from_numpy(np.asarray(one, np.float32)) for one in recordings], batch_first=True)
    states = ear.encoder(ear.encoder.features(pcm[:, : max(frames) * FRAME_SAMPLES]), lengths=torch.tensor(frames))
    memory = [
        ear.decoder.heard(torch.cat([row[:count], ear.silence[count : min(PLACES, count + FILL)]])[None])[0]
        for row, count in zip(states, frames, strict=True)
    ]
    prompt = list(ear.config.prompt)
    texts: list[list[int]] = [[] for _ in recordings]
    after, said = [prompt for _ in recordings], [ear.decoder.nothing_said() for _ in recordings]
    going = list(range(len(recordings)))
    while going:
        y, grown, _ = ear.decoder.step([after[r] for r in going], [said[r] for r in going], [memory[r] for r in going])
        first = {at: ear.allowed[1] for at, row in enumerate(going) if not texts[row]}
        best, _ = ear.decoder.best(torch.stack([one[-1] for one in y]), ear.allowed[0], first)
        still = []
        for row, token, now in zip(going, best.tolist(), grown, strict=True):
            said[row] = now
            if token != ear.vocabulary.end and len(texts[row]) < 12 + MOST_PER_FRAME * frames[row]:
                texts[row].append(token)
                after[row] = [token]
                still.append(row)
        going = still
    return [ear.vocabulary.text(text).strip() for text in texts]


def dressed(text: str, model: str) -> tuple[str, float]:
    """`text` (in capitals, without marks) with the case and marks that the words have in `model`, small letters
    elsewhere; and the share of its words that stand there."""
    words, found = text.lower().split(), model.split()
    plain = [re.sub(r"[^a-z0-9']", "", word.lower()) for word in found]
    out, same = [ALWAYS.get(word, word) for word in words], 0
    matcher = difflib.SequenceMatcher(None, [re.sub(r"[^a-z0-9']", "", word) for word in words], plain, autojunk=False)
    for first, at, count in matcher.get_matching_blocks():
        out[first : first + count] = found[at : at + count]
        same += count
    for at, word in enumerate(out[:-1]):  # no sentence ends before a small letter
        out[at] = word.rstrip(".?!") if out[at + 1][:1].islower() else word
    if out:
        out[0] = out[0][:1].upper() + out[0][1:]
        if out[-1][-1:] not in ".?!" and model[-1:] in ".?!":
            out[-1] = out[-1].rstrip(",") + model[-1:]
    return " ".join(out), same / max(1, len(words))


def dress(rows: Sequence[tuple[Path, float, str]], ear: WhisperRecogniser, kept: Path) -> dict[Path, tuple[str, float]]:
    """`dressed` for recordings (path, duration [s], text in capitals), those of before read from the file `kept`."""
    known: dict[str, str] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    missing = sorted((row for row in rows if str(row[0]) not in known), key=lambda row: row[1])
    groups: list[list[tuple[Path, float, str]]] = []
    for row in missing:
        if not groups or (len(groups[-1]) + 1) * row[1] > TOGETHER_S:
            groups.append([])
        groups[-1].append(row)
    for group in track(groups, "Case and marks", disable=not groups):
        texts = written(ear, [read_audio(path, SAMPLE_RATE_HZ) for path, _, _ in group])
        known |= {str(path): text for (path, _, _), text in zip(group, texts, strict=True)}
    if missing:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(known, ensure_ascii=False, indent=0), "utf-8")
    return {path: dressed(text, known[str(path)]) for path, _, text in rows}
