"""Tests of journals: what is kept, refused and mended."""

from __future__ import annotations

import errno
import fcntl
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.traces.journal import Journal, JournalError, read_journal
from aotd.traces.records import SCHEMA_VERSION

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=6)

FILL = """
import resource, sys
from pathlib import Path
from aotd.traces.journal import Journal, JournalError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Journal(Path(sys.argv[1]), "calls") as journal:
    try:
        for n in range(1000):
            journal.append({"n": n})
    except JournalError as error:
        print(n, error)
    journal.append({})
"""


def rows(path: Path) -> list[dict[str, object]]:
    """Read all rows of a journal of calls."""
    return list(read_journal(path, "calls"))


def write(path: Path, *written: dict[str, object]) -> None:
    """Write a journal of calls."""
    with Journal(path, "calls") as journal:
        journal.append(*written)


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_rows_come_back_as_written(written: list[dict[str, object]]) -> None:
    """Any JSON objects come back equal and in order: any text, line separators and lone surrogates too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "calls.jsonl")
        write(path, *written)
        assert rows(path) == written


def check_cut(path: Path, written: list[dict[str, object]], length: int) -> None:
    """Cut a journal and require a prefix of its rows, and that a new row follows them."""
    whole = path.read_bytes()[:length]
    path.write_bytes(whole)
    left = written[: max(0, whole.count(b"\n") - 1)]
    assert rows(path) == left
    with Journal(path, "calls") as journal:
        assert journal.torn == length - (whole.rfind(b"\n") + 1)
        journal.append({"new": length})
    assert rows(path) == [*left, {"new": length}]


@settings(max_examples=50, deadline=None)
@given(ROWS, st.data())
def test_a_cut_journal_keeps_a_prefix_and_goes_on(
    written: list[dict[str, object]], data: st.DataObject
) -> None:
    """Cut after some byte, a journal still gives the first rows, as many as are whole, and takes new ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "calls.jsonl")
        write(path, *written)
        check_cut(path, written, data.draw(st.integers(0, path.stat().st_size)))


def test_every_cut_of_a_journal(tmp_path: Path) -> None:
    """The same holds for each single byte of a journal, those of its header included."""
    path = tmp_path / "calls.jsonl"
    written: list[dict[str, object]] = [{"n": 1}, {}, {"text": "1\n2 \u2028 \ud800"}, {"list": [{"{": "}"}]}]
    write(path, *written)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole)
        check_cut(path, written, length)


@pytest.mark.parametrize(
    "tail", [b"\0" * 9, b'{"a": \n', b"{}[]\n", b"17\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"]
)
def test_a_last_line_that_is_no_row_is_torn(tmp_path: Path, tail: bytes) -> None:
    """What a crash leaves at the end, newline or not, is passed over, then cut off, and told."""
    path = tmp_path / "calls.jsonl"
    write(path, {"n": 1})
    path.write_bytes(path.read_bytes() + tail)
    assert rows(path) == [{"n": 1}]
    with Journal(path, "calls") as journal:
        assert journal.torn == len(tail)
        journal.append({"n": 2})
    assert rows(path) == [{"n": 1}, {"n": 2}]


def test_rows_longer_than_any_buffer(tmp_path: Path) -> None:
    """Rows of several hundred kilobytes are found whole, and found torn, like short ones."""
    path = tmp_path / "calls.jsonl"
    long: list[dict[str, object]] = [{"text": "x" * 300_000}, {"text": "y" * 300_000}]
    write(path, *long)
    assert rows(path) == long
    path.write_bytes(path.read_bytes()[:-2])
    assert rows(path) == long[:1]


def test_the_first_line_names_kind_and_schema(tmp_path: Path) -> None:
    """A journal opens with its kind and the schema version, once, also when it is opened again."""
    path = tmp_path / "calls.jsonl"
    write(path)
    write(path, {"n": 1})
    lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"aotd": "calls", "schema": SCHEMA_VERSION}, {"n": 1}]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    """A line before the last that is no row is an error that names file and line."""
    path = tmp_path / "calls.jsonl"
    write(path, {"n": 1}, {"n": 2}, {"n": 3})
    path.write_text(path.read_text().replace('{"n": 2}', '{"n": 2'))
    reading = read_journal(path, "calls")
    assert next(reading) == {"n": 1}
    with pytest.raises(JournalError, match=r"calls\.jsonl, line 3: ") as caught:
        next(reading)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"aotd": "examples", "schema": 1}\n', "its first line says 'examples'"),
        ('{"aotd": "calls", "schema": 99}\n', f"version 99, but this aotd reads version {SCHEMA_VERSION}"),
        ('{"question": "mine"}\n', "no journal of calls"),
        ("my notes", "no journal of calls"),
        ("my notes\n", "no journal of calls"),
    ],
)
def test_other_files_are_refused_and_left_alone(tmp_path: Path, content: str, told: str) -> None:
    """A file of another kind, version or origin is refused by reader and writer, and not changed."""
    path = tmp_path / "calls.jsonl"
    path.write_text(content)
    for attempt in (lambda: rows(path), lambda: Journal(path, "calls")):
        with pytest.raises(JournalError) as caught:
            attempt()
        assert told in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_text() == content


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """A missing file cannot be read and a folder cannot be written; both errors name the path."""
    with pytest.raises(JournalError, match="absent"):
        rows(tmp_path / "absent")
    with pytest.raises(JournalError, match=str(tmp_path)):
        Journal(tmp_path, "calls")


def test_one_writer_many_readers(tmp_path: Path) -> None:
    """A second writer is refused while the first is open; readers see each row as soon as it is added."""
    path = tmp_path / "calls.jsonl"
    with Journal(path, "calls") as journal:
        journal.append({"n": 1})
        with pytest.raises(JournalError, match=r"calls\.jsonl: another process is writing"):
            Journal(path, "calls")
        assert rows(path) == [{"n": 1}]
        journal.append({"n": 2})
        journal.sync()
        assert rows(path) == [{"n": 1}, {"n": 2}]
    write(path, {"n": 3})
    assert len(rows(path)) == 3


def test_a_refused_file_is_not_kept_locked(tmp_path: Path) -> None:
    """A writer that was refused holds no lock on the file afterwards."""
    path = tmp_path / "calls.jsonl"
    path.write_text("my notes")
    with pytest.raises(JournalError) as caught:
        Journal(path, "calls")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert caught.value is not None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1, 2}])
def test_what_is_not_json_is_not_written(tmp_path: Path, bad: object) -> None:
    """A row that JSON cannot hold is an error and leaves nothing of its batch behind."""
    path = tmp_path / "calls.jsonl"
    with Journal(path, "calls") as journal, pytest.raises((ValueError, TypeError)):
        journal.append({"n": 1}, {"n": bad})
    assert rows(path) == []


def test_a_file_that_may_not_grow_keeps_whole_lines(tmp_path: Path) -> None:
    """When a write fails half-way the error is one line, and the file ends in its last whole row."""
    path = tmp_path / "calls.jsonl"
    done = subprocess.run([sys.executable, "-c", FILL, str(path)], capture_output=True, text=True)
    count, _, message = done.stdout.strip().partition(" ")
    assert "calls.jsonl: cannot be written: File too large" in message
    assert done.returncode == 0, done.stderr
    assert 50 < int(count) < 1000
    assert rows(path) == [*({"n": n} for n in range(int(count))), {}]
    assert path.read_bytes().endswith(b"\n")


def test_a_full_disk_is_told() -> None:
    """A full disk is an error that says so."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(JournalError, match="/dev/full: disk full") as caught:
        Journal(full, "calls")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
