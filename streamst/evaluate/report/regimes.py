"""IWSLT 2026's latency regimes, by LongYAAL without computation: low up to 2 s, high up to 4 s.

Of clips that are one segment each, YAAL is LongYAAL: both end with the recording.
"""

from __future__ import annotations

from collections.abc import Mapping

from streamst.evaluate.metrics.result import Metric

REGIMES: tuple[tuple[str, float, float], ...] = (("low", 0.0, 2000.0), ("high", 2000.0, 4000.0))  # (from, to] [ms]
RANKED_BY = ("LongYAAL", "YAAL")
BEYOND = "beyond"


def regime_of(metrics: Mapping[str, Metric]) -> str | None:
    """ "low", "high" or "beyond"; None where no word came before the end."""
    value = next((metrics[name].value for name in RANKED_BY if name in metrics), None)
    if value is None:
        return None
    return next((name for name, _, end in REGIMES if value <= end), BEYOND)
