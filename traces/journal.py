"""Journals: append-only JSONL files that survive a crash at any byte.

The first line is a header `{"aotd": kind, "schema": version}`; each further line is one JSON object. There
is one writer at a time, held by a lock on the file, and any number of readers, also while it writes. What a
crash can leave behind, a torn last line, is passed over by readers and cut off by the next writer. Any
other fault is an error that names the file and the line. This file knows nothing of what the rows mean;
`aotd.traces.runs` does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self

from aotd.traces.records import SCHEMA_VERSION

__all__ = ["DiskFull", "Journal", "JournalError", "Placed", "read_journal", "read_placed"]

_BLOCK: Final = 1 << 16
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class JournalError(Exception):
    """A journal that cannot be read or written, told in one line."""


class DiskFull(JournalError):
    """There is no room for a row; the run can go on when there is."""


class Placed(NamedTuple):
    """A row and where it stands in its file, in bytes; the newline belongs to it."""

    offset: int
    length: int
    row: dict[str, Any]


class Journal:
    """The one writer of a journal; for use by one thread.

    Parameters
    ----------
    path
        The file; made with its header if it does not exist.
    kind
        What its rows are, such as `calls`; must be that of an existing file.

    Raises
    ------
    JournalError
        When another process is writing the file, it is no journal of this kind and schema version, or it
        cannot be opened or written.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.torn = 0
        """Bytes of a torn last line that were cut off on opening."""
        try:
            self._file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened: {error.strerror}") from error
        try:
            self._lock()
            self._mend(kind)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Hand rows to the operating system in one piece; they survive the end of this process.

        Raises
        ------
        JournalError
            When the disk is full or fails. None of these rows is kept then, and the journal stays sound.
        ValueError, TypeError
            When a row is not JSON (NaN included); nothing is written.
        """
        # ASCII with escapes: no text, not even half a surrogate pair, can break a line or the encoding.
        self._write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode("ascii"))

    def sync(self) -> None:
        """Wait until all rows are on the disk, so that they survive a loss of power."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file and give the lock up."""
        self._file.close()

    def _lock(self) -> None:
        """Become the one writer."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError(
                f"{self.path}: another process is writing this file; wait until it ends, or stop it"
            ) from error
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be locked: {error.strerror}") from error

    def _mend(self, kind: str) -> None:
        """Check the header, cut off a torn last line, and write the header of a new file."""
        end = _sound_end(self._file)
        _check_header(self._file, end, self.path, kind)
        self.torn = self._file.seek(0, os.SEEK_END) - end
        if self.torn:
            self._file.truncate(end)
        if end == 0:
            self._write(_header(kind))

    def _write(self, data: bytes) -> None:
        """Write all of it, or take back what was written."""
        start = self._file.seek(0, os.SEEK_END)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):  # what cannot be cut off is a torn line to the next reader
                self._file.truncate(start)
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> JournalError:
        """Tell a failed write in one line."""
        if error.errno in _FULL:
            return DiskFull(
                f"{self.path}: disk full; free some space and `aotd resume`: whole lines are kept"
            )
        kind = DiskFull if error.errno == errno.EFBIG else JournalError
        return kind(f"{self.path}: cannot be written: {error.strerror}; whole lines are kept")


def read_journal(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    """Read the rows of a journal in order, passing over a torn last line.

    Raises
    ------
    JournalError
        When the file cannot be read, is no journal of this kind and schema version, or a line before the
        last is no JSON object.
    """
    for placed in read_placed(path, kind):
        yield placed.row


def read_placed(path: Path, kind: str, start: int = 0) -> Iterator[Placed]:
    """Read rows and where they stand, from byte `start` on; errors as `read_journal`.

    Parameters
    ----------
    path
        The journal.
    kind
        What its rows are.
    start
        Where a line begins: 0, or the end of a row that was read before.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    with file:
        end = _sound_end(file)
        _check_header(file, end, path, kind)
        file.seek(0)
        offset = max(start, len(file.readline()) if end else 0)
        file.seek(offset)
        while offset < end:
            line = file.readline()
            row = _row(line)
            if row is None:
                raise JournalError(
                    f"{path}, line {_line_number(file, offset)}: not a JSON object; the file was damaged or "
                    "edited: delete this line to lose only its row"
                )
            yield Placed(offset, len(line), row)
            offset += len(line)


def _header(kind: str) -> bytes:
    """Give the first line of a journal."""
    return (json.dumps({"aotd": kind, "schema": SCHEMA_VERSION}) + "\n").encode("ascii")


def _check_header(file: BinaryIO, end: int, path: Path, kind: str) -> None:
    """Refuse a file that is not ours before anything in it is changed."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    header = _header(kind)
    if end == 0:
        # Nothing whole: an empty file, or a header that was itself torn.
        if not header.startswith(file.read(min(size, len(header) + 1))):
            raise JournalError(f"{path}: no journal of {kind}; give the path of another file")
        return
    found = _row(file.readline(_BLOCK)) or {}
    if found.get("aotd") != kind:
        raise JournalError(
            f"{path}: no journal of {kind}, its first line says {found.get('aotd')!r}; give another file"
        )
    if found.get("schema") != SCHEMA_VERSION:
        raise JournalError(
            f"{path}: schema version {found.get('schema')!r}, but this aotd reads version {SCHEMA_VERSION}; "
            "use the aotd that wrote it, or start a new run"
        )


def _sound_end(file: BinaryIO) -> int:
    """Find where the last whole line ends: it ends in a newline and is a JSON object."""
    whole = _line_start(file, file.seek(0, os.SEEK_END))
    if whole == 0:
        return 0
    start = _line_start(file, whole - 1)
    file.seek(start)
    return whole if _row(file.read(whole - start)) is not None else start


def _line_start(file: BinaryIO, end: int) -> int:
    """Find the offset just after the last newline before `end`."""
    while end > 0:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        newline = file.read(end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _line_number(file: BinaryIO, offset: int) -> int:
    """Count the lines up to the one that begins at `offset`, the first being 1."""
    file.seek(0)
    number = 1
    while offset > 0:
        block = file.read(min(_BLOCK, offset))
        number += block.count(b"\n")
        offset -= len(block)
    return number


def _row(line: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is no JSON object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
