"""Scores logs of simultaneous translation, ours and other tools', without PyTorch.

    import streamst.evaluate as evaluate
    found = evaluate.score("runs/medium")  # or a log of SimulEval, simulstream, OmniSTEval
    print(found.metrics["LongYAAL"].value, found.intervals["LongYAAL"], found.verdict)
    print(evaluate.compare("runs/medium", "runs/high").metrics)
    table = evaluate.events("runs/medium")  # pandas.DataFrame(table)

A name is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamst.evaluate.api import compare, events, read, score

__all__ = ["compare", "events", "read", "score"]


if not TYPE_CHECKING:  # a type checker reads the import above, and would take any name for one of these

    def __getattr__(name: str) -> object:
        """A public name, from `streamst.evaluate.api` (PEP 562)."""
        if name not in __all__:
            raise AttributeError(
                f"module 'streamst.evaluate' has no attribute {name!r}; it offers {', '.join(__all__)}"
            )
        found = globals()[name] = getattr(import_module("streamst.evaluate.api"), name)
        return found


def __dir__() -> list[str]:
    return list(__all__)
