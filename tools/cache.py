"""Model answers in memory, the least recently used dropped first.

Bounded in bytes of the answers' JSON and what an entry costs beside. Holds nothing on disk; what was dropped
or answered before a restart is found again through the index of the run's journal, when there is one.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Final

from aotd.traces.call_index import CallIndex

__all__ = ["Cache"]

_OVERHEAD: Final = 250
"""Bytes that an entry costs beside its text, measured: key, table slots, list node, object header."""


class Cache:
    """Answers as JSON text by request key.

    Parameters
    ----------
    max_bytes
        Limit on the sum of the entries' sizes.
    index
        Where older answers of the run are found.
    """

    def __init__(self, max_bytes: int, index: CallIndex | None = None) -> None:
        self._max_bytes = max_bytes
        self._index = index
        self._bytes = 0
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> bytes | None:
        """Return the answer of a request, or None."""
        answer = self._entries.get(key)
        if answer is not None:
            self._entries.move_to_end(key)
            return answer
        call = self._index.get(key) if self._index is not None else None
        if call is None:
            return None
        answer = json.dumps(call.answer).encode()
        self.put(key, answer)
        return answer

    def put(self, key: str, answer: bytes) -> None:
        """Keep an answer, dropping old ones to make room."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= len(old) + _OVERHEAD
        self._entries[key] = answer
        self._bytes += len(answer) + _OVERHEAD
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= len(dropped) + _OVERHEAD
