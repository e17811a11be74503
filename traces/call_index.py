"""Where each answer stands in a run's `calls.jsonl`, so that any earlier one is found without holding all.

`calls.sqlite` beside the journal maps a request's key to the byte offset and length of its row. It follows
the journal by itself: what was appended since the last look is indexed before the next one, so a writer need
not tell it anything and the two cannot disagree. The journal is the truth: an index that is missing, damaged
or of another journal is made anew, and a row is handed out only if it carries the key that was asked for.
Rows of errors are no answers and are not indexed. This file writes nothing but the index.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import ValidationError

from aotd.traces.journal import JournalError, read_placed
from aotd.traces.runs import ModelCall

__all__ = ["CallIndex"]

COMMIT_EVERY: Final = 1000
"""Rows between two commits; what a crash loses of the index is read from the journal again."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS place (key TEXT PRIMARY KEY, start INTEGER, length INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS upto (start INTEGER, length INTEGER, digest TEXT);
"""


class _Stale(Exception):
    """The index does not belong to the journal as it is."""


class CallIndex:
    """Finds the answers of a run by key; for use by one thread, while no other process writes the run."""

    def __init__(self, folder: Path) -> None:
        self._journal = folder / "calls.jsonl"
        self._path = folder / "calls.sqlite"
        self._end = 0
        """Byte up to which the journal is indexed."""
        self._pending = 0
        try:
            self._file = self._journal.open("rb")
        except OSError as error:
            raise JournalError(f"{self._journal}: cannot be read: {error.strerror}") from error
        try:
            try:
                self._connect()
                self._follow()
            except (sqlite3.DatabaseError, _Stale):
                self._rebuild()
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the index of a run's folder, and bring it up to the end of the journal.

        Raises
        ------
        JournalError
            When the journal cannot be read or is damaged, or the index cannot be written.
        """
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Count the answers indexed so far."""
        count: int = self._db.execute("SELECT count(*) FROM place").fetchone()[0]
        return count

    def get(self, key: str) -> ModelCall | None:
        """Return the last answered request of this key, or None; errors as `open`."""
        try:
            self._follow()
            return self._find(key)
        except (sqlite3.DatabaseError, _Stale):
            self._rebuild()
            return self._find(key)

    def close(self) -> None:
        """Commit and close; the index can be opened again."""
        with suppress(sqlite3.DatabaseError):  # what is lost is indexed again
            self._commit()
        self._db.close()
        self._file.close()

    def _connect(self) -> None:
        """Open the index and check that it ends at a row that still stands in the journal."""
        self._db = sqlite3.connect(self._path)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        known = self._db.execute("SELECT start, length, digest FROM upto").fetchone()
        self._end = self._pending = 0
        if known is not None:
            start, length, digest = known
            if self._digest(start, length) != digest:
                raise _Stale
            self._end = start + length

    def _follow(self) -> None:
        """Index what was appended to the journal since the last look."""
        if os.fstat(self._file.fileno()).st_size > self._end:
            self._db.executemany("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", self._answers())
            if self._pending >= COMMIT_EVERY:
                self._commit()

    def _answers(self) -> Iterator[tuple[str, int, int]]:
        for start, length, row in read_placed(self._journal, "calls", self._end):
            self._end, self._last = start + length, (start, length)
            self._pending += 1
            if row.get("error") is None:
                yield str(row.get("key")), start, length

    def _commit(self) -> None:
        if self._pending:
            start, length = self._last
            self._db.execute("DELETE FROM upto")
            self._db.execute(
                "INSERT INTO upto VALUES (?, ?, ?)", (start, length, self._digest(start, length))
            )
        self._db.commit()
        self._pending = 0

    def _rebuild(self) -> None:
        """Throw the index away and read the journal from its beginning."""
        with suppress(AttributeError, sqlite3.Error):
            self._db.close()
        try:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._connect()
            self._follow()
            self._commit()
        except (OSError, sqlite3.DatabaseError) as error:
            raise JournalError(
                f"{self._path}: cannot be written: {error}; it only indexes {self._journal.name}: free some "
                "space or make the folder writable"
            ) from error

    def _find(self, key: str) -> ModelCall | None:
        place = self._db.execute("SELECT start, length FROM place WHERE key = ?", (key,)).fetchone()
        if place is None:
            return None
        try:
            call = ModelCall.model_validate_json(self._read(*place))
        except ValidationError as error:
            raise _Stale from error
        if call.key != key:
            raise _Stale
        return call

    def _read(self, start: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, start)

    def _digest(self, start: int, length: int) -> str:
        return hashlib.sha256(self._read(start, length)).hexdigest()
