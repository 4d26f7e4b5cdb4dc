"""How many replicas Ray should run: by the places that are taken, and by how late words are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

CAREFUL = 0.7  # of what a machine could carry is given away: what is measured alone is a little better than among many
FULL = 0.75  # of all places, above which another replica is wanted: one takes a while to load its model
LATE_S = 2.0  # lag (p95) above which the places were measured too kindly


def places_for(factor: float, cores: float) -> int:
    """Speakers that one replica carries, where one speaker's second takes `factor` seconds of a core."""
    return max(1, math.floor(cores / factor * CAREFUL))


def wanted(taken: Sequence[float], places: Sequence[float], lags_s: Sequence[float]) -> int:
    """Replicas for the sessions that are there, given each replica's sessions, places and lag; the same order."""
    if not places:
        return 1
    each = sum(places) / len(places)
    needed = math.ceil(sum(taken) / (FULL * each))
    late = sum(lag_s > LATE_S for lag_s in lags_s)
    return max(needed, len(places) + 1 if late > len(places) / 2 else 1)


def by_places(context: Any) -> tuple[int, dict[str, Any]]:
    """Ray's autoscaling policy (`AutoscalingContext`): replicas, and what to be told next time."""
    told = context.aggregated_metrics or {}
    replicas = list(told.get("places", {}))
    columns = [[told.get(name, {}).get(one, 0.0) for one in replicas] for name in ("taken", "places", "lag_s")]
    found = wanted(*columns) if replicas else context.target_num_replicas
    least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return min(most, max(least, found)), {}


def policy_path() -> str:
    """`by_places` as Ray wants it named."""
    return f"{by_places.__module__}:{by_places.__name__}"
