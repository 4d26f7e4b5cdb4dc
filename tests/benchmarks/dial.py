"""A latency dial from sweeps over a development set: `python tests/benchmarks/dial.py SWEEP [SWEEP ...]
--write streamst/assets/translator/dial.json`.

Takes, for each position of the dial, the setting with the best quality (BLEU + chrF) of those whose LAAL lies between
the budget of the position before and its own (of those within its own where there is none). The folders are what
`streamst bench sweep DEV.tsv --policy ... --chunk-ms ... --out SWEEP` filled.
Report on a test set with `streamst bench sweep TEST.tsv --latency minimal --latency low ...`, never choose on it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from curves import Point, points_of, speaks

from streamst.policies.catalog import LATENCY_NAMES, parse_setting, read_dial

BUDGETS_MS = (900.0, 1200.0, 1600.0, 2000.0, 3000.0)  # LAAL at the positions of the dial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("--pair", default="en-de")
    parser.add_argument("--write", type=Path, help="the dial as JSON, to lie beside the translator")
    arguments = parser.parse_args()
    points, offline = points_of(arguments.sweeps)
    usable = [p for p in points if speaks(p) and p.policy is not None and p.chunk_ms is not None]
    print(f"offline: BLEU {offline.quality:.1f}, chrF {offline.chrf:.1f}")
    dial = {}
    for name, before_ms, budget_ms in zip(LATENCY_NAMES, (0.0, *BUDGETS_MS), BUDGETS_MS, strict=False):
        within = [p for p in usable if p.laal_ms <= budget_ms] or [min(usable, key=lambda p: p.laal_ms)]
        within = [p for p in within if p.laal_ms > before_ms] or within
        best: Point = max(within, key=lambda p: (p.quality + p.chrf, -p.laal_ms))
        setting = parse_setting(str(best.policy), int(best.chunk_ms or 0))
        dial[name] = {"policy": setting.policy, "chunk_ms": setting.chunk_ms, "params": dict(setting.params)}
        print(f"{name}: {best.policy} in chunks of {best.chunk_ms} ms, BLEU {best.quality:.1f}, chrF {best.chrf:.1f}, "
              f"LongYAAL {best.yaal_ms:.0f} ms, LAAL {best.laal_ms:.0f} ms, "
              f"{100 * best.quality / offline.quality:.0f} % of offline")  # fmt: skip
    if arguments.write:
        arguments.write.write_text(json.dumps({arguments.pair: dial}, indent=1) + "\n", encoding="utf-8")
        read_dial(arguments.write)  # or an error that says what is wrong with it


if __name__ == "__main__":
    main()
