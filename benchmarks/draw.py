"""Draw a sample of questions, evenly from their kinds. The same seed, the same sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

__all__ = ["draw"]

Item = TypeVar("Item")


def draw(items: Sequence[Item], n: int | None, seed: int, kind: Callable[[Item], Hashable]) -> list[Item]:
    """Draw `n` items in turn from each kind, as long as a kind has some; all of them without `n`.

    Returns
    -------
    list
        In the order of `items`.
    """
    if n is None or n >= len(items):
        return list(items)
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    kinds: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        kinds.setdefault(kind(item), []).append(place)
    for places in kinds.values():
        chance.shuffle(places)
    chosen: list[int] = []
    while len(chosen) < n:
        for places in kinds.values():
            if places and len(chosen) < n:
                chosen.append(places.pop())
    return [items[place] for place in sorted(chosen)]
