"""Normalised erasure: how much of a re-translated output was taken back (Arivazhagan et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from streamst.evaluate.log.clock import Step, final_units

from .result import Metric, signature


def normalised_erasure(recordings: Sequence[Sequence[Step]], text_unit: str = "word") -> Metric | None:
    """Deleted units / units that stood at the end, over all recordings together; None when nothing stood at all.

    0 for a policy that never retracts. Raises InputError where a deletion does not fit what stood.
    """
    deleted = sum(len(step.deleted) for steps in recordings for step in steps)
    final = sum(len(final_units(steps).units) for steps in recordings)
    if not final:
        return None
    fields = {"unit": text_unit, "deleted": deleted, "final": final, "average": "micro", "n": len(recordings)}
    return Metric(deleted / final, "ratio", signature(fields))
