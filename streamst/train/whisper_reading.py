"""Whisper's decoder over many texts at once, padded, for training; `WhisperDecoder.step` reads each row by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from streamst.models.whisper.decoder import WhisperDecoder

FORBIDDEN = -1e9


def read(
    decoder: WhisperDecoder, texts: Sequence[Sequence[int]], memory: Sequence[Tensor], weights: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Teacher-forced. memory: states (S, D) of each text, which may differ in S. Returns the decoder's states (B, T, D)
    after each token, and with `weights` where the alignment heads look (B, T, S), their mean."""
    config = decoder.config
    tokens = pad_sequence([torch.tensor(text) for text in texts], batch_first=True).to(decoder.places.device)
    heard = pad_sequence(list(memory), batch_first=True)
    lengths = torch.tensor([len(one) for one in memory], device=heard.device)
    real = (torch.arange(heard.shape[1], device=heard.device) < lengths[:, None])[:, None, None]
    x, looked = decoder.tokens(tokens) + decoder.places[: tokens.shape[1]], []
    for number, block in enumerate(decoder.reading_blocks()):
        query, key, value = block.ask(x).unflatten(-1, (3, config.heads, -1)).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x, asked = block.look(x, found.transpose(1, 2).flatten(2))
        query = asked.unflatten(-1, (config.heads, -1)).transpose(1, 2)
        key, value = block.heard(heard)
        chosen = [head for layer, head in config.alignment if layer == number]
        if weights and chosen:
            scores = query[:, chosen].float() @ key[:, chosen].float().transpose(2, 3)
            looked.append(scores.masked_fill(~real, FORBIDDEN).softmax(-1))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=real, scale=1.0)
        x = block.think(x, found.transpose(1, 2).flatten(2))
    return decoder.norm(x), torch.cat(looked, 1).mean(1) if weights else None
