"""Is a policy simultaneous at all? Words written before the source's end, against how many its delay lets one expect.

SWF    share of the words that are written before the end of the source, over all words
EFSW   share of the source that is left when YAAL has passed, over all source: the words that even pace would have
DSPTV  EFSW - SWF in points: far from 0 the mean delay says little about the words. OmniSTEval 0.1.10 takes more than 20
       either way for a sign of a degenerate policy (its text has the opposite sign; its figures have this one).

A run that says everything at the end has no YAAL, and so no EFSW and no DSPTV: its SWF of 0 tells, and the verdict of
`streamst.evaluate.report.failures` convicts it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .latency import Utterance, yet_another_average_lagging
from .result import Metric, signature


def degeneracy(utterances: Sequence[Utterance], prefix: str = "", **fields: object) -> dict[str, Metric]:
    """SWF, EFSW [%] and DSPTV [points] of all utterances together, each under `prefix`; those that are not defined are
    absent. fields: what else their signatures state."""
    words = sum(len(u.delays_ms) for u in utterances)
    if not words:
        return {}
    early = sum(delay < u.source_ms for u in utterances for delay in u.delays_ms)
    lags = [(u.source_ms, lag) for u in utterances if (lag := yet_another_average_lagging(u)) is not None]
    source_ms = math.fsum(length for length, _ in lags)
    told = {"average": "micro", "n": len(utterances), "undefined": len(utterances) - len(lags), **fields}
    swf = 100.0 * early / words
    found = {"SWF": Metric(swf, "%", signature({"of": "words before the end/words", **told}))}
    if source_ms > 0:
        efsw = 100.0 * math.fsum(max(0.0, length - lag) for length, lag in lags) / source_ms
        found["EFSW"] = Metric(efsw, "%", signature({"of": "source-YAAL/source", **told}))
        found["DSPTV"] = Metric(efsw - swf, "points", signature({"of": "EFSW-SWF", **told}))
    return {prefix + name: metric for name, metric in found.items()}
