"""Validation of whole files: every export is valid, any bytes give findings, tables and the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from aotd.cli.validate import validate as command
from aotd.traces.export import FormatName, export
from aotd.traces.records import Example, Question, Rationale, Sentence
from aotd.traces.row_rules import (
    LLAMA,
    SWIFT,
    Fault,
    aotd_rules,
    canonical_rules,
    chat_rules,
    messages_rules,
    sample_rules,
)
from aotd.traces.validate import Validation, validate

GOLDEN = Path(__file__).parent / "golden"
STORY = Example.model_validate_json((GOLDEN / "stories.jsonl").read_text().splitlines()[0])
LINES: tuple[FormatName, ...] = ("canonical", "aotd", "messages", "ms-swift", "llama-factory")
SUPPRESS = [HealthCheck.function_scoped_fixture]


def first_row(fmt: str) -> dict[str, Any]:
    """Read the first row of a golden file."""
    row: dict[str, Any] = json.loads((GOLDEN / f"{fmt}.jsonl").read_text().splitlines()[0])
    return row


texts = st.text(max_size=30) | st.sampled_from(
    ["<video>", "a <image> b", "<|im_end|>", "</s>", " ", "\u2028"]
)
stems = st.text("abc/. ü<>", min_size=1, max_size=8).filter(str.strip)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Draw an example with any texts, with or without options, answer, chain and file."""
    options = draw(st.none() | st.lists(texts, min_size=1, max_size=4).map(tuple))
    question = Question(
        id=draw(texts),
        dataset="any",
        video_id=draw(stems),
        text=draw(texts),
        options=options,
        answer=draw(st.none() | (st.sampled_from(options) if options else texts)),
        type=draw(st.none() | texts),
        span=draw(st.none() | st.just((1.5, 4.0))),
        clip_file=draw(st.none() | stems),
    )
    rationale = Rationale(
        writer="any", sentences=tuple(Sentence(text=t) for t in draw(st.lists(texts, max_size=3)))
    )
    attempts = draw(st.sampled_from([(), STORY.attempts]))
    update = {"question": question, "rationale": rationale, "kept": draw(st.booleans()), "attempts": attempts}
    return STORY.model_copy(update=update)


several = st.lists(examples(), min_size=1, max_size=3, unique_by=lambda example: example.question.id)


@settings(max_examples=40, deadline=None, suppress_health_check=SUPPRESS)
@given(told=several, fmt=st.sampled_from(LINES), absolute=st.booleans(), weigh=st.booleans())
def test_exports_are_valid(
    told: list[Example], fmt: FormatName, *, absolute: bool, weigh: bool, tmp_path: Path
) -> None:
    """Whatever texts an example holds, its export passes; only an export without rows does not."""
    out = tmp_path / "rows.jsonl"
    videos = tmp_path if absolute and fmt != "canonical" else None
    weight = 0.3 if weigh and fmt in ("messages", "ms-swift") else None
    rows = export(told, fmt, out, videos=videos, loss_weight=weight)
    checked = validate(out, fmt)
    assert [f.message for f in checked.findings if not f.warning] == ([] if rows else ["there is no row"])
    assert checked.rows == rows


@settings(max_examples=15, deadline=None)
@given(told=several)
@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow (aotd[hub]) is not installed")
def test_exported_folders_are_valid(told: list[Example], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same holds for the folder of Parquet tables."""
    out = tmp_path_factory.mktemp("hub") / "out"
    rows = export(told, "parquet", out)
    errors = [f.message for f in validate(out, "parquet").findings if not f.warning]
    assert errors == ([] if rows else ["there is no row"])


def test_places_and_counts(tmp_path: Path) -> None:
    """A fault is told once, with the first line that has it and how many rows do."""
    good, bad = json.dumps(first_row("aotd")), json.dumps(first_row("aotd") | {"video_path": "/v.mp4"})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([good, "", bad, "{", bad]))
    checked = validate(path, "aotd")
    told = [(f.place, f.warning, f.rows) for f in checked.findings]
    assert told == [("line 4", False, 1), ("line 3", True, 2)]
    assert (checked.rows, checked.valid) == (4, False)


def test_array_lines(tmp_path: Path) -> None:
    """In a JSON array the line is that on which a row begins."""
    rows = [first_row("messages"), first_row("messages") | {"loss_weight": -1}]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, indent=1))
    begins = path.read_text()[: path.read_text().index("-1")].splitlines()
    expected = max(number for number, line in enumerate(begins, start=1) if line == " {")
    [finding] = validate(path, "messages").findings
    assert finding.place == f"line {expected}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "there is no row"),
        (b"\n \n", "there is no row"),
        (b"[]", "there is no row"),
        (b"[", "not JSON"),
        (b"[1", "does not go on"),
        (b"[1 2]", "does not go on"),
        (b"[1,]", "not JSON"),
        (b"[1] 2", "something follows"),
        (b"[\n\xff]", "not UTF-8"),
        (b"\xff", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"1" * 5000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"3", "must be a JSON object"),
        (b"null", "must be a JSON object"),
    ],
)
def test_unreadable(content: bytes, words: str, tmp_path: Path) -> None:
    """A file that is no JSON is told so, by line."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    messages = [finding.message for finding in validate(path, "aotd").findings]
    assert any(words in message for message in messages), messages


def lines_only(checked: Validation) -> bool:
    """Tell whether every finding is one printable line."""
    said = [finding.place + finding.message for finding in checked.findings]
    return all(text.isprintable() and text.encode() for text in said)


@settings(max_examples=60, deadline=None, suppress_health_check=SUPPRESS)
@given(content=st.binary(max_size=200), fmt=st.sampled_from(LINES))
def test_any_bytes(content: bytes, fmt: FormatName, tmp_path: Path) -> None:
    """Any bytes give findings in single lines, never an exception."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert lines_only(validate(path, fmt))


keys = st.sampled_from(
    [
        "messages",
        "conversation",
        "role",
        "content",
        "type",
        "text",
        "video",
        "videos",
        "path",
        "user",
        "assistant",
        "system",
        "image",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | keys | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def all_rules(row: Any) -> Iterator[Fault]:
    """Run every format's rules on a row."""
    for form in (LLAMA, SWIFT):
        yield from chat_rules(row, form, Path())
    for rules in (aotd_rules, messages_rules, canonical_rules):
        yield from rules(row, Path())
    if isinstance(row, dict):
        yield from sample_rules(row, Path())


@settings(max_examples=150, deadline=None)
@given(values)
def test_any_json(value: Any) -> None:
    """Any JSON value gets its faults told in single lines, by every format's rules."""
    faults = list(all_rules(value))
    assert faults
    assert all(fault.message.isprintable() for fault in faults)


def broken(data: bytes) -> st.SearchStrategy[bytes]:
    """Cut a file short, or change some of its bytes."""
    cut = st.integers(0, len(data) - 1).map(lambda size: data[:size])
    spots = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    return cut | spots.map(lambda changes: _changed(data, changes))


def _changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    copy = bytearray(data)
    for at, byte in changes:
        copy[at] = byte
    return bytes(copy)


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow (aotd[hub]) is not installed")
class TestParquet:
    """Tables of the format `parquet`."""

    def exported(self, tmp_path: Path) -> Path:
        """Export one example as a folder."""
        export([STORY], "parquet", tmp_path / "hub")
        return tmp_path / "hub"

    def test_folder_and_table(self, tmp_path: Path) -> None:
        """A folder and each of its tables alone are valid; a missing table or card is told."""
        hub = self.exported(tmp_path)
        tables = sorted(hub.glob("*/*.parquet"))
        assert [validate(path, "parquet") for path in (hub, *tables)] == [
            Validation(2, ()),
            Validation(1, ()),
            Validation(1, ()),
        ]
        tables[0].unlink()
        (hub / "README.md").unlink()
        told = validate(hub, "parquet").findings
        assert [finding.message.split(",")[0] for finding in told] == [
            "folder cot holds no table (*.parquet)",
            "README.md",
        ]

    def test_schema(self, tmp_path: Path) -> None:
        """A missing column and one of another type are told by name."""
        import pyarrow as pa
        from pyarrow import parquet

        path = self.exported(tmp_path) / "cot" / "train-00000-of-00001.parquet"
        table = parquet.read_table(path).drop_columns(["prompt"])
        weights = table.column("loss_weight").cast(pa.string())
        parquet.write_table(table.drop_columns(["loss_weight"]).append_column("loss_weight", weights), path)
        messages = [finding.message for finding in validate(path, "parquet").findings]
        assert messages == [
            "table cot has no column prompt",
            "table cot: column loss_weight must be double",
        ]

    def test_rows(self, tmp_path: Path) -> None:
        """Faults of rows in tables are told by row."""
        import pyarrow as pa
        from pyarrow import parquet

        path = self.exported(tmp_path) / "cot" / "train-00000-of-00001.parquet"
        table = parquet.read_table(path)
        bad = table.to_pylist()[0] | {
            "prompt": "a <video>",
            "kind": "x",
            "loss_weight": -1.0,
            "response": None,
        }
        parquet.write_table(pa.Table.from_pylist([table.to_pylist()[0], bad], schema=table.schema), path)
        assert {(finding.place, finding.message) for finding in validate(path, "parquet").findings} == {
            ("cot row 2", "prompt holds a mark such as <video> or <|im_end|>"),
            ("cot row 2", "response must be a text"),
            ("cot row 2", "kind must be label or rationale"),
            ("cot row 2", "loss_weight must be a number from 0"),
        }

    @settings(max_examples=40, deadline=None)
    @given(draw=st.data())
    def test_broken_tables(self, draw: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A torn or changed table gives findings or rows, never an exception."""
        folder = tmp_path_factory.mktemp("hub")
        path = self.exported(folder) / "traces" / "train-00000-of-00001.parquet"
        path.write_bytes(draw.draw(broken(path.read_bytes())))
        assert lines_only(validate(path, "parquet"))


app = typer.Typer()
app.command()(command)


def test_command(tmp_path: Path) -> None:
    """The command prints findings by line and exits 0 for warnings, 1 for errors."""
    path = tmp_path / "rows.jsonl"
    good = first_row("messages")
    path.write_text(json.dumps(good))
    clean = CliRunner().invoke(app, [str(path), "--format", "messages"])
    assert (clean.exit_code, clean.output) == (0, "1 rows, 0 kinds of error, 0 kinds of warning\n")
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"messages": []}) + "\n{\n")
    faulty = CliRunner().invoke(app, [str(path), "--format", "messages", "--video-dir", str(tmp_path)])
    assert faulty.exit_code == 1
    said = [line.removeprefix(f"{path}, ") for line in faulty.output.splitlines()]
    assert said[1] == "line 2: error: key `messages` must be a list of turns, not empty"
    assert said[2].startswith("line 3: error: not JSON: ")
    missing = CliRunner().invoke(app, [str(tmp_path / "no.jsonl"), "--format", "aotd"])
    assert "cannot read" in str(missing.exception)
