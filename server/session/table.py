"""The nodes as each of them knows all: who has room, and how many sessions a key or an address has elsewhere.

Every node tells the store of itself every `BEAT_S`, and reads what the others tell; who is silent for `SILENT_S` of the
store's own clock is no longer there. What is known is up to a beat old: a few sessions more than a limit may slip in.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import asdict, dataclass, field

from streamst.config import from_dict
from streamst.errors import ConfigError, InputError
from streamst.server.store.sealed import Seal

BEAT_S = 2.0
SILENT_S = 7.0
OF_NODE = "node/"


@dataclass(frozen=True)
class Told:
    """What a node tells of itself."""

    url: str | None  # under which it is reached
    free: int  # places; none where it is busy or about to stop
    lag_ms: float | None = None  # of words lately, p95
    keys: dict[str, int] = field(default_factory=dict[str, int])  # sessions by the name of their API key
    addresses: dict[str, int] = field(default_factory=dict[str, int])  # by `folded` address
    begun: dict[str, int] = field(default_factory=dict[str, int])  # sessions lately, by the name of their API key
    knocks: dict[str, int] = field(default_factory=dict[str, int])  # connections lately, by `folded` address


def folded(address: str) -> str:
    """What others are told of an address: enough to count by."""
    return hashlib.blake2b(address.encode(), digest_size=8).hexdigest()


class Table:
    """The other nodes, as they told."""

    def __init__(self, node: str, seal: Seal, chance: random.Random | None = None) -> None:
        self.node, self._seal, self._chance = node, seal, chance or random.Random()
        self._others: dict[str, Told] = {}
        self._given: Counter[str] = Counter()  # places given away there since they told

    def __len__(self) -> int:
        return len(self._others)

    def packed(self, told: Told) -> bytes:
        """What `read` of other nodes takes."""
        return self._seal.close(OF_NODE + self.node, json.dumps(asdict(told)).encode())

    def read(self, announced: dict[str, bytes]) -> list[str]:
        """Know what is announced now; what could not be read, in words."""
        others, wrong = dict[str, Told](), list[str]()
        for node, value in announced.items():
            if node == self.node:
                continue
            try:
                others[node] = from_dict(Told, json.loads(self._seal.open(OF_NODE + node, value)), "node")
            except (InputError, ConfigError, ValueError) as error:
                wrong.append(f"node {node!r:.80}: {error}")
        self.know(others)
        return wrong

    def know(self, others: dict[str, Told]) -> None:
        """What the others tell now."""
        self._others = others
        self._given.clear()

    def of_key(self, name: str) -> int:
        """Sessions of a key on other nodes."""
        return sum(told.keys.get(name, 0) for told in self._others.values())

    def of_address(self, share: str) -> int:
        """Sessions of an address on other nodes."""
        theirs = folded(share)
        return sum(told.addresses.get(theirs, 0) for told in self._others.values())

    def begun(self, name: str) -> int:
        """Sessions that a key has begun on other nodes lately."""
        return sum(told.begun.get(name, 0) for told in self._others.values())

    def knocks(self, address: str) -> int:
        """How often an address has connected to other nodes lately."""
        theirs = folded(address)
        return sum(told.knocks.get(theirs, 0) for told in self._others.values())

    def roomier(self, free: int) -> str | None:
        """The URL of a node that has more than `free` places, one of which is taken by that; None where there is none.

        By chance, the likelier the more places: where all sent to the one that has most, it would be full long before
        it could say so.
        """
        least = max(0, free)
        places = {node: told.free - self._given[node] for node, told in self._others.items() if told.url}
        roomy = {node: left for node, left in places.items() if left > least}
        if not roomy:
            return None
        (node,) = self._chance.choices(list(roomy), list(roomy.values()))
        self._given[node] += 1
        return self._others[node].url
