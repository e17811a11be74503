"""The rules for rows: what is exported by hand is valid, and each rule finds its fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aotd.traces.export import FormatName
from aotd.traces.validate import validate

GOLDEN = Path(__file__).parent / "golden"
LINES: tuple[FormatName, ...] = ("canonical", "aotd", "messages", "ms-swift", "llama-factory")


def first_row(fmt: str) -> dict[str, Any]:
    """Read the first row of a golden file."""
    row: dict[str, Any] = json.loads((GOLDEN / f"{fmt}.jsonl").read_text().splitlines()[0])
    return row


def found(tmp_path: Path, fmt: FormatName, *rows: Any, videos: Path | None = None) -> list[tuple[str, bool]]:
    """Validate rows as a file; give messages and whether they are warnings."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if fmt == "llama-factory":
        (tmp_path / "dataset_info.json").write_bytes((GOLDEN / "dataset_info.json").read_bytes())
    return [(finding.message, finding.warning) for finding in validate(path, fmt, videos).findings]


@pytest.mark.parametrize("fmt", LINES)
def test_golden_files_are_valid(fmt: FormatName, tmp_path: Path) -> None:
    """Each golden file passes without a warning."""
    rows = [json.loads(line) for line in (GOLDEN / f"{fmt}.jsonl").read_text().splitlines()]
    assert found(tmp_path, fmt, *rows) == []


def with_turns(fmt: str, *turns: tuple[str, Any]) -> dict[str, Any]:
    """Give a golden row other turns."""
    key = "conversation" if fmt == "aotd" else "messages"
    return first_row(fmt) | {key: [{"role": role, "content": content} for role, content in turns]}


VIDEO = {"type": "video", "video": "v.mp4"}
TEXT = {"type": "text", "text": "Why?"}
CHATS: tuple[FormatName, ...] = ("ms-swift", "llama-factory")


@pytest.mark.parametrize("fmt", CHATS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"videos": ["a.mp4", "b.mp4"], "messages": [("user", "<video>"), ("assistant", "B")]}, "is empty"),
        ({"videos": []}, "number of marks <video>"),
        ({"videos": None}, "number of marks <video>"),
        ({"messages": [("user", "<video><video> Why?"), ("assistant", "B")]}, "number of marks <video>"),
        ({"messages": [("user", "<video><image>Why?"), ("assistant", "B")]}, "number of marks <image>"),
        ({"messages": [("user", "Why?"), ("assistant", "the <video>")]}, "stands in an answer"),
        ({"messages": [("user", "<video>Why?")]}, "last turn must be the assistant's"),
        ({"messages": [("user", "<video>Why?"), ("assistant", " ")]}, "content is empty"),
        ({"messages": [("user", "<video>Why?"), ("assistant", None)]}, "content must be a text"),
        ({"messages": [("user", [TEXT]), ("assistant", "B")]}, "content must be a text"),
        ({"messages": [("human", "<video>Why?"), ("gpt", "B")]}, "`role` must be one of"),
        ({"messages": []}, "must be a list of turns"),
        ({"messages": "text"}, "must be a list of turns"),
        ({"messages": [("user", "<video>Why?"), 3]}, "a turn must be an object"),
        ({"videos": [""]}, "must be a path"),
        ({"videos": [7]}, "must be a path"),
        ({"videos": [[]]}, "must be a path"),
        ({"videos": {"a": 1}}, "`videos` must be a list"),
        ({"messages": [("user", "<video>Why \ud800?"), ("assistant", "B")]}, "surrogate"),
    ],
)
def test_chat_errors(fmt: FormatName, change: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Each fault of a chat row that neither trainer mends is an error."""
    turns = change.get("messages")
    if isinstance(turns, list):
        pairs = [{"role": t[0], "content": t[1]} if isinstance(t, tuple) else t for t in turns]
        change = change | {"messages": pairs}
    errors = [message for message, warning in found(tmp_path, fmt, first_row(fmt) | change) if not warning]
    assert any(words in message for message in errors), errors


def without_videos(fmt: str) -> dict[str, Any]:
    """Rename `videos` of a golden row to `video`."""
    row = first_row(fmt)
    return row | {"video": row.pop("videos")[0]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (without_videos("ms-swift"), "key `video`"),
        (with_turns("ms-swift", ("user", "Why?"), ("assistant", "B")), "fewer marks <video>"),
        (
            with_turns("ms-swift", ("user", "<video>Why?"), ("user", "Well?"), ("assistant", "B")),
            "must take turns",
        ),
    ],
)
def test_what_ms_swift_mends(row: dict[str, Any], words: str, tmp_path: Path) -> None:
    """What ms-swift mends by itself is a warning there, and an error for LLaMA-Factory."""
    [(message, warning)] = found(tmp_path, "ms-swift", row)
    assert words in message
    assert warning
    assert any(not warning for _, warning in found(tmp_path, "llama-factory", row))


def test_loss_scale(tmp_path: Path) -> None:
    """Weights other than 0 and 1 get a warning about ms-swift's switch; no number is an error."""
    row = first_row("ms-swift")
    for scale, expected in ((0.5, [True]), (2, [True]), (1, []), (0, []), (-1, [False]), ("x", [False])):
        row["messages"][1]["loss_scale"] = scale
        assert [warning for _, warning in found(tmp_path, "ms-swift", row)] == expected


def test_paths(tmp_path: Path) -> None:
    """Absolute paths and `..` are warnings, missing files errors where a folder is given, URLs neither."""
    (tmp_path / "a.mp4").touch()
    row = first_row("llama-factory")
    for path, messages in (
        ("a.mp4", []),
        ("b.mp4", ["is not in the video folder"]),
        (str(tmp_path / "a.mp4"), ["is an absolute path"]),
        ("C:\\films\\a.mp4", ["is not in the video folder", "is an absolute path"]),
        ("x/../a.mp4", ["is not in the video folder", "leads out of the video folder"]),
        ("https://example.org/b.mp4", []),
        ("a" * 5000, ["is not in the video folder"]),
        ("a\0b", ["is not in the video folder"]),
    ):
        told = found(tmp_path, "llama-factory", row | {"videos": [path]}, videos=tmp_path)
        assert len(told) == len(messages)
        assert all(words in message for words, (message, _) in zip(messages, told, strict=True))


def test_dataset_info_rules(tmp_path: Path) -> None:
    """Columns and tags are those of `dataset_info.json`; without a column of videos any mark is too many."""
    row = {
        "conversations": [{"from": "human", "value": "<video>Why?"}, {"from": "gpt", "value": "B"}],
        "clips": ["v.mp4"],
    }
    path, info = tmp_path / "d.json", tmp_path / "dataset_info.json"
    path.write_text(json.dumps([row]))
    entry: dict[str, Any] = {"file_name": "d.json", "formatting": "sharegpt", "columns": {"videos": "clips"}}
    for change, words in (
        ({}, []),
        ({"columns": {}}, ["number of marks <video>"]),
        ({"formatting": "alpaca"}, ["formatting must be"]),
        ({"tags": {"role_tag": "role"}}, ["`role` must be one of"]),
    ):
        info.write_text(json.dumps({"any": entry | change}))
        messages = [f.message for f in validate(path, "llama-factory").findings]
        assert len(messages) == len(words)
        assert all(w in m for w, m in zip(words, messages, strict=True))


@pytest.mark.parametrize(
    ("info", "warning"), [(None, True), ("{}", True), ("[]", True), ('{"a": 3}', True), ("{", False)]
)
def test_dataset_info_missing(info: str | None, *, warning: bool, tmp_path: Path) -> None:
    """A file that LLaMA-Factory cannot find is worth a warning, a broken description an error."""
    (tmp_path / "d.jsonl").write_text(json.dumps(first_row("llama-factory")))
    if info is not None:
        (tmp_path / "dataset_info.json").write_text(info)
    [finding] = validate(tmp_path / "d.jsonl", "llama-factory").findings
    assert "dataset_info.json" in finding.message
    assert finding.warning == warning


@pytest.mark.parametrize(
    ("change", "words", "warns"),
    [
        ({"video_path": None}, "video_path must be a path", False),
        ({"conversation": [("user", [TEXT]), ("assistant", "B")]}, "must hold one", False),
        ({"conversation": [("user", [TEXT, VIDEO, VIDEO]), ("assistant", "B")]}, "must hold one", False),
        ({"conversation": [("user", [TEXT, VIDEO]), ("assistant", [])]}, "not empty", False),
        ({"conversation": [("user", [TEXT, VIDEO]), ("assistant", [VIDEO])]}, "holds media", False),
        ({"conversation": [("user", [{"type": "video_url"}]), ("assistant", "B")]}, "type of a part", False),
        ({"conversation": [("user", [VIDEO, "Why?"]), ("assistant", "B")]}, "list of parts", False),
        ({"conversation": [("assistant", "B"), ("user", [TEXT, VIDEO])]}, "must take turns", False),
        ({"conversation": [("user", [VIDEO, TEXT]), ("assistant", "a <video>")]}, "holds a mark", False),
        ({"conversation": [("user", [VIDEO, TEXT]), ("assistant", "<|im_end|>.")]}, "control token", True),
    ],
)
def test_aotd_faults(change: dict[str, Any], words: str, *, warns: bool, tmp_path: Path) -> None:
    """Each fault of an AoTD row is told."""
    if "conversation" in change:
        change = {"conversation": [{"role": r, "content": c} for r, c in change["conversation"]]}
    told = found(tmp_path, "aotd", first_row("aotd") | change)
    assert any(words in message and warning == warns for message, warning in told), told


def test_conversations(tmp_path: Path) -> None:
    """AoTD's other spelling of the key is read, with a warning, and its faults are found."""
    row = first_row("aotd")
    row["conversations"] = row.pop("conversation")
    [(message, warning)] = found(tmp_path, "aotd", row)
    assert "`conversation` only" in message
    assert warning
    row["conversations"].pop()
    assert any("last turn" in message for message, _ in found(tmp_path, "aotd", row))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "video"}, "must have one of the keys"),
        ({"type": "video", "video": "v.mp4", "path": "v.mp4"}, "must have one of the keys"),
        ({"type": "video", "path": 3}, "must be a path"),
        ({"type": "text", "text": None}, "text must be a text"),
        ({"type": "text", "text": "see <video>"}, "holds a mark"),
        ({"type": ["video"]}, "type of a part"),
    ],
)
def test_messages_faults(part: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Each fault of a typed part is told."""
    row = with_turns("messages", ("user", [TEXT, part]), ("assistant", "B"))
    assert any(words in message for message, _ in found(tmp_path, "messages", row))


@pytest.mark.parametrize("weight", [-1, "1", True, None, 10**400])
def test_messages_weight(weight: Any, tmp_path: Path) -> None:
    """A weight must be a number from 0, however large."""
    told = found(tmp_path, "messages", first_row("messages") | {"loss_weight": weight})
    assert told == ([] if weight == 10**400 else [("loss_weight must be a number from 0", False)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 3}, "id: "),
        ({"more": 3}, "more: "),
        ({"future_visible": "yes"}, "future_visible: "),
        ({"answer": {"index": 2, "text": "The box."}}, "answer.index"),
        ({"answer": {"index": 9, "text": "The box."}}, "answer.index"),
        ({"verdict": {"kept": True, "dropped": "", "checks": {}}}, "no cot"),
        ({"trace": [{"step": 1}]}, "trace.*.line: "),
        ({"video": "/v.mp4"}, "absolute"),
    ],
)
def test_canonical_faults(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Each fault of a canonical row is told by its field."""
    [(message, _)] = found(tmp_path, "canonical", first_row("canonical") | change)
    assert words in message


def test_equal_ids(tmp_path: Path) -> None:
    """Two canonical rows of one id are an error."""
    row = first_row("canonical")
    assert found(tmp_path, "canonical", row, row) == [("id is that of an earlier row", False)]
