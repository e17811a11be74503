"""Model answers in memory, the least recently used dropped first.

Bounded in bytes of the answers' JSON. Holds nothing on disk: the run's journal does that.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Cache"]

_OVERHEAD: Final = 200
"""Bytes that an entry costs beside its text (key, dict slot, string header)."""


class Cache:
    """Answers as JSON text by request key.

    Parameters
    ----------
    max_bytes
        Limit on the sum of the entries' sizes.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> str | None:
        """Return the answer of a request, or None."""
        answer = self._entries.get(key)
        if answer is not None:
            self._entries.move_to_end(key)
        return answer

    def put(self, key: str, answer: str) -> None:
        """Keep an answer, dropping old ones to make room."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= len(old) + _OVERHEAD
        self._entries[key] = answer
        self._bytes += len(answer) + _OVERHEAD
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped) + _OVERHEAD
