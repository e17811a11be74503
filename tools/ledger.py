"""What language models were asked and what it cost, per role.

A ledger counts the replies that a server gave in this process; a reply that came from the cache or the
journal reached no server, so it is not counted and costs nothing now. Counts tokens as the server reports
them and prices as the settings name them; it knows no tokenizer and no price list.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from pydantic import Field

from aotd.tools.models import Reply
from aotd.traces.records import Record

__all__ = ["Ledger", "Prices", "Usage", "total"]

_MILLION: Final = 1_000_000


class Prices(Record):
    """What a server charges per million tokens, in any one currency; None where that is not known."""

    prompt: float | None = Field(default=None, ge=0)
    reply: float | None = Field(default=None, ge=0)


class Usage(Record):
    """Replies that were received, and what they took."""

    requests: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0
    """Summed over requests, which overlap: more than the time that passed."""
    cost: float | None = None
    """In the currency of the prices; None if a price is not known."""


class Ledger:
    """Counts replies by role; safe to use from several threads.

    Parameters
    ----------
    prices
        What the server charges.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._lock = threading.Lock()
        self._usage: dict[str, Usage] = {}

    def add(self, role: str, reply: Reply, seconds: float) -> None:
        """Count one reply of the server."""
        one = Usage(
            requests=1,
            prompt_tokens=reply.prompt_tokens,
            reply_tokens=reply.reply_tokens,
            seconds=seconds,
            cost=self._cost(reply),
        )
        with self._lock:
            known = self._usage.get(role)
            self._usage[role] = total([known, one]) if known else one

    def usage(self) -> dict[str, Usage]:
        """Give what was counted so far, by role."""
        with self._lock:
            return dict(sorted(self._usage.items()))

    def _cost(self, reply: Reply) -> float | None:
        if self._prices.prompt is None or self._prices.reply is None:
            return None
        prompt = reply.prompt_tokens * self._prices.prompt
        return (prompt + reply.reply_tokens * self._prices.reply) / _MILLION


def total(usages: Iterable[Usage]) -> Usage:
    """Add up usage, of several roles or of the sittings of a run; an unknown cost makes the sum unknown."""
    parts = list(usages)
    costs = [part.cost for part in parts if part.cost is not None]
    return Usage(
        requests=sum(part.requests for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        reply_tokens=sum(part.reply_tokens for part in parts),
        seconds=sum(part.seconds for part in parts),
        cost=sum(costs) if len(costs) == len(parts) else None,
    )
