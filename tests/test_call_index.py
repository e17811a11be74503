"""The index of a run's answers: it finds what the journal holds, and nothing else, whatever befell it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from aotd.tools.cache import Cache
from aotd.traces.call_index import COMMIT_EVERY, CallIndex
from aotd.traces.journal import Journal, JournalError, read_placed
from aotd.traces.runs import ModelCall


def row(key: str, answer: JsonValue, error: dict[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    """Make a row of `calls.jsonl`."""
    call = ModelCall(key=key, model="m", request={"text": key}, answer=answer, error=error)
    return call.model_dump(mode="json")


def write(folder: Path, *rows: dict[str, JsonValue]) -> None:
    """Add rows to a folder's journal of calls."""
    with Journal(folder / "calls.jsonl", "calls") as journal:
        journal.append(*rows)


def answer(index: CallIndex, key: str) -> JsonValue:
    """Look an answer up; `absent` when there is none."""
    call = index.get(key)
    return "absent" if call is None else call.answer


def test_what_is_appended_is_found_at_once(tmp_path: Path) -> None:
    """Answers are found before and after the writer adds more, in one opening of the index."""
    with Journal(tmp_path / "calls.jsonl", "calls") as journal, CallIndex.open(tmp_path) as index:
        assert answer(index, "a") == "absent"
        journal.append(row("a", [1, {"é": "\u2028"}]), row("b", None))
        assert answer(index, "a") == [1, {"é": "\u2028"}]
        journal.append(row("c", 3))
        assert [answer(index, key) for key in "abcd"] == [[1, {"é": "\u2028"}], None, 3, "absent"]


def test_errors_are_no_answers_and_the_last_answer_counts(tmp_path: Path) -> None:
    """A request that failed and was answered later has its answer; one that only failed has none."""
    failed: dict[str, JsonValue] = {"kind": "bad-request", "message": "no", "retryable": False}
    write(tmp_path, row("a", None, failed), row("b", None, failed), row("a", 1), row("a", 2))
    with CallIndex.open(tmp_path) as index:
        assert [answer(index, key) for key in "ab"] == [2, "absent"]
        assert len(index) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=20)), max_size=30),
    st.lists(st.sampled_from(["keep", "lose", "spoil", "shift"]), max_size=4),
)
def test_the_index_always_agrees_with_the_journal(pairs: list[tuple[str, str]], fates: list[str]) -> None:
    """Lost, spoiled or left behind by a journal that changed, the index gives what the journal says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        known: dict[str, str] = {}
        for number, fate in enumerate(["keep", *fates]):
            for key, text in pairs[number::5]:
                write(folder, row(key, text))
                known[key] = text
            path = folder / "calls.sqlite"
            if fate == "lose":
                path.unlink(missing_ok=True)
            elif fate == "spoil" and path.exists():
                path.write_bytes(b"\xff" * 5000)
            elif fate == "shift":
                lines = (folder / "calls.jsonl").read_bytes().splitlines(keepends=True)
                (folder / "calls.jsonl").write_bytes(b"".join([lines[0], *lines[2:]]))
                rest = [json.loads(line) for line in lines[2:]]
                known = {r["key"]: r["answer"] for r in rest}
            with CallIndex.open(folder) as index:
                assert {key: answer(index, key) for key in "abcdef"} == {
                    key: known.get(key, "absent") for key in "abcdef"
                }


def test_only_the_tail_is_read_again(tmp_path: Path) -> None:
    """An index that was closed goes on where it ended: rows before that are not parsed again."""
    write(tmp_path, row("a", 1), row("b", 2))
    CallIndex.open(tmp_path).close()
    path = tmp_path / "calls.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"key": "a"', b'"key"= "a"'))
    write(tmp_path, row("c", 3))
    with CallIndex.open(tmp_path) as index:
        assert [answer(index, key) for key in "bc"] == [2, 3]


def test_a_row_that_changed_under_the_index_is_not_handed_out(tmp_path: Path) -> None:
    """When the indexed place holds another key the journal is read anew."""
    write(tmp_path, row("a", 1), row("b", 2), row("z", 0))
    CallIndex.open(tmp_path).close()
    path = tmp_path / "calls.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"key": "a"', b'"key": "q"'))
    with CallIndex.open(tmp_path) as index:
        assert [answer(index, key) for key in "abq"] == ["absent", 2, 1]


def test_a_crash_loses_nothing_but_time(tmp_path: Path) -> None:
    """What was not committed when the process died is indexed from the journal at the next opening."""
    write(tmp_path, *(row(str(n), n) for n in range(COMMIT_EVERY + 5)))
    index = CallIndex.open(tmp_path)
    write(tmp_path, row("late", 1))
    assert answer(index, "late") == 1
    for name in ("calls.sqlite", "calls.sqlite-wal"):  # as a crash leaves them: copied without a close
        target = tmp_path / "crashed" / name
        target.parent.mkdir(exist_ok=True)
        if (tmp_path / name).exists():
            target.write_bytes((tmp_path / name).read_bytes())
    index.close()
    (tmp_path / "crashed" / "calls.jsonl").write_bytes((tmp_path / "calls.jsonl").read_bytes())
    with CallIndex.open(tmp_path / "crashed") as again:
        assert len(again) == COMMIT_EVERY + 6
        assert answer(again, "late") == 1


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    """Half a row at the end is no answer, and what is written after it was cut off is found."""
    write(tmp_path, row("a", 1))
    path = tmp_path / "calls.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key": "b", "answ')
    with CallIndex.open(tmp_path) as index:
        assert answer(index, "b") == "absent"
    write(tmp_path, row("b", 2))
    with CallIndex.open(tmp_path) as index:
        assert answer(index, "b") == 2


def test_faults_of_the_journal_are_told_in_one_line(tmp_path: Path) -> None:
    """A journal that is missing, of another kind or damaged in its middle is an error that names it."""
    with pytest.raises(JournalError, match=r"calls\.jsonl: cannot be read"):
        CallIndex.open(tmp_path)
    path = tmp_path / "calls.jsonl"
    path.write_text('{"aotd": "examples", "schema": 1}\n')
    with pytest.raises(JournalError, match="no journal of calls"):
        CallIndex.open(tmp_path)
    path.unlink()
    write(tmp_path, row("a", 1), row("b", 2), row("c", 3))
    path.write_bytes(path.read_bytes().replace(b'"key": "b"', b'"key"= "b"'))
    with pytest.raises(JournalError, match=r"calls\.jsonl, line 3: ") as caught:
        CallIndex.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_index_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder in the index's place is an error that names the index."""
    write(tmp_path, row("a", 1))
    (tmp_path / "calls.sqlite").mkdir()
    with pytest.raises(JournalError, match=r"calls\.sqlite: cannot be written"):
        CallIndex.open(tmp_path)


def test_the_cache_finds_what_it_dropped(tmp_path: Path) -> None:
    """With an index, an answer that had to make room, or is of an earlier process, is found again."""
    write(tmp_path, *(row(str(n), {"text": "x" * n}) for n in range(50)))
    with CallIndex.open(tmp_path) as index:
        cache = Cache(500, index)
        found = [json.loads(cache.get(str(n)) or b"null") for n in range(50)]
        assert found == [{"text": "x" * n} for n in range(50)]
        assert 1 <= len(cache) <= 2
        assert cache.get("50") is None


def test_rows_are_placed_by_their_bytes(tmp_path: Path) -> None:
    """Offset and length cut exactly the row's line out of the file, from any row on."""
    write(tmp_path, row("a", 1), row("é", "\ud800"), row("c", 3))
    path = tmp_path / "calls.jsonl"
    whole = path.read_bytes()
    placed = list(read_placed(path, "calls"))
    assert [json.loads(whole[p.offset : p.offset + p.length]) for p in placed] == [p.row for p in placed]
    assert list(read_placed(path, "calls", placed[1].offset)) == placed[1:]
    assert list(read_placed(path, "calls", len(whole))) == []
