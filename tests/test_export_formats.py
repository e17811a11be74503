"""Rows for trainers: golden files, options, marks, spans, and files that are whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from aotd.cli.errors import UsageError
from aotd.cli.runs import export as command
from aotd.cli.settings import load_config
from aotd.traces.export import ExportError, FormatName, export, remarks
from aotd.traces.export_llama import InfoError
from aotd.traces.export_samples import samples, without_marks
from aotd.traces.records import Example, Rationale, Sentence, Verdict
from aotd.traces.runs import Run, new_manifest

GOLDEN = Path(__file__).parent / "golden"
STORIES = [Example.model_validate_json(line) for line in (GOLDEN / "stories.jsonl").read_text().splitlines()]
LINES: tuple[FormatName, ...] = ("canonical", "aotd", "messages", "ms-swift", "llama-factory")


def with_chain(example: Example, text: str = "") -> Example:
    """Give an example a kept chain of thought."""
    told = ("From frame 3 to frame 9, the person put down the sandwich.", "So the answer is The sandwich.")
    sentences = tuple(Sentence(text=sentence) for sentence in ([text] if text else told))
    verdict = Verdict(check="faithful", passed=True, reason="told as found")
    rationale = Rationale(writer="hand", sentences=sentences)
    return example.model_copy(update={"rationale": rationale, "verdicts": (verdict,), "kept": True})


def changed(example: Example, **fields: Any) -> Example:
    """Change fields of an example's question."""
    return example.model_copy(update={"question": example.question.model_copy(update=fields)})


def found_as(example: Example, name: str | None, *, future: bool = False) -> Example:
    """Say how an example's video was found, and whether an oracle saw the future."""
    assert example.trace is not None
    video = example.trace.video.model_copy(update={"found_as": name})
    trace = example.trace.model_copy(update={"video": video, "future_visible": future})
    return example.model_copy(
        update={"attempts": (example.attempts[-1].model_copy(update={"trace": trace}),)}
    )


CHOICE, OPEN, WRONG = with_chain(STORIES[0]), STORIES[2], STORIES[4]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("fmt", LINES)
def test_golden_files(fmt: FormatName, tmp_path: Path) -> None:
    """Three examples make the golden file of each format, byte for byte, in whatever order they are given."""
    for order in ([OPEN, CHOICE, WRONG], [WRONG, OPEN, CHOICE]):
        count = export(order, fmt, tmp_path / "rows.jsonl")
        assert (tmp_path / "rows.jsonl").read_bytes() == (GOLDEN / f"{fmt}.jsonl").read_bytes()
        assert count == len(rows_of(GOLDEN / f"{fmt}.jsonl"))


def test_dataset_info(tmp_path: Path) -> None:
    """LLaMA-Factory's description lies beside the rows and names them."""
    export([CHOICE], "llama-factory", tmp_path / "rows.jsonl")
    assert (tmp_path / "dataset_info.json").read_bytes() == (GOLDEN / "dataset_info.json").read_bytes()


def test_dataset_info_is_merged(tmp_path: Path) -> None:
    """Entries of others stay, in order, and so does what a user added to ours."""
    info = tmp_path / "dataset_info.json"
    known = {"other": {"file_name": "o.json"}, "rows": {"file_name": "rows.jsonl", "num_samples": 5}}
    info.write_text(json.dumps(known))
    export([CHOICE], "llama-factory", tmp_path / "rows.jsonl")
    merged = json.loads(info.read_text())
    assert list(merged) == ["other", "rows"]
    assert merged["other"] == {"file_name": "o.json"}
    ours = json.loads((GOLDEN / "dataset_info.json").read_text())["rows"]
    assert merged["rows"] == {**ours, "num_samples": 5}


@pytest.mark.parametrize(
    "known",
    [
        "{",
        "[]",
        '{"rows": {"hf_hub_url": "a/b"}}',
        '{"rows": {"file_name": "else.json"}}',
        '{"rows": 3}',
        "\udcff",
    ],
)
def test_dataset_info_that_takes_no_entry(known: str, tmp_path: Path) -> None:
    """A description that cannot take the entry is named, and nothing is written."""
    info = tmp_path / "dataset_info.json"
    info.write_bytes(known.encode("utf-8", "surrogateescape"))
    with pytest.raises(InfoError, match=r"dataset_info\.json"):
        export([CHOICE], "llama-factory", tmp_path / "rows.jsonl")
    assert list(tmp_path.iterdir()) == [info]
    assert info.read_bytes() == known.encode("utf-8", "surrogateescape")


def test_json_array(tmp_path: Path) -> None:
    """LLaMA-Factory's `.json` is one array of the same rows, empty when there are none."""
    export([CHOICE, OPEN], "llama-factory", tmp_path / "array.json")
    export([CHOICE, OPEN], "llama-factory", tmp_path / "rows.jsonl")
    export([], "llama-factory", tmp_path / "none.json")
    assert json.loads((tmp_path / "array.json").read_text()) == rows_of(tmp_path / "rows.jsonl")
    assert json.loads((tmp_path / "none.json").read_text()) == []


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("Is <video> shown?", "Is [video] shown?", 1),
        ("<image><audio>", "[image][audio]", 2),
        ("end<|im_end|> and </s>", "end[|im_end|] and [/s]", 2),
        ("<<video>>", "<[video]>", 1),
        ("a < b, b > c, <b>bold</b>, <Video>", "a < b, b > c, <b>bold</b>, <Video>", 0),
    ],
)
def test_marks(text: str, expected: str, count: int) -> None:
    """Marks of trainers get square brackets and are counted; other angle brackets stay."""
    assert without_marks(text) == (expected, count)


@pytest.mark.parametrize("fmt", LINES[1:])
def test_marks_in_rows(fmt: FormatName, tmp_path: Path) -> None:
    """A question and a chain that speak of `<video>` leave no mark but the trainer's own, and a remark."""
    marked = with_chain(changed(STORIES[0], text="What does <video> show?"), "It is in <image> 3.<|im_end|>")
    export([marked], fmt, tmp_path / "rows.jsonl")
    label, rationale = rows_of(tmp_path / "rows.jsonl")
    for row in (label, rationale):
        assert "What does [video] show?" in json.dumps(row)
        assert json.dumps(row).count("<video>") == (1 if "videos" in row else 0)
    assert "It is in [image] 3.[|im_end|]" in json.dumps(rationale)
    assert "2 samples held marks" in remarks([marked], fmt)[0]


def test_canonical_keeps_marks(tmp_path: Path) -> None:
    """The canonical row holds texts as they were."""
    export([changed(CHOICE, text="What does <video> show?")], "canonical", tmp_path / "rows.jsonl")
    assert rows_of(tmp_path / "rows.jsonl")[0]["question"] == "What does <video> show?"


@pytest.mark.parametrize("fmt", LINES[1:])
def test_absolute_paths(fmt: FormatName, tmp_path: Path) -> None:
    """With a video folder, paths are absolute ones under it; without, relative."""
    export([CHOICE], fmt, tmp_path / "rows.jsonl", videos=tmp_path / "films")
    text = (tmp_path / "rows.jsonl").read_text()
    assert text.count(json.dumps(str(tmp_path / "films" / "v1.mp4"))) == 2
    export([CHOICE], fmt, tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_text().count('"v1.mp4"') == 2


def test_loss_weight(tmp_path: Path) -> None:
    """Lambda stands on rationales and 1 on labels, where the format has a place for it."""
    export([CHOICE], "messages", tmp_path / "m.jsonl", loss_weight=0.5)
    export([CHOICE], "ms-swift", tmp_path / "s.jsonl", loss_weight=0.5)
    assert [row["loss_weight"] for row in rows_of(tmp_path / "m.jsonl")] == [1.0, 0.5]
    turns = [turn for row in rows_of(tmp_path / "s.jsonl") for turn in row["messages"]]
    assert [turn.get("loss_scale") for turn in turns] == [None, 1.0, None, 0.5]
    assert any("--is_binary_loss_scale false" in remark for remark in remarks([CHOICE], "ms-swift", 0.5))


@pytest.mark.parametrize(
    ("fmt", "out", "options", "words"),
    [
        ("canonical", "r.jsonl", {"videos": Path()}, "--absolute"),
        ("parquet", "r", {"videos": Path()}, "--absolute"),
        ("aotd", "r.jsonl", {"loss_weight": 0.5}, "no place for --loss-weight"),
        ("llama-factory", "r.jsonl", {"loss_weight": 0.5}, "no place for --loss-weight"),
        ("messages", "r.jsonl", {"loss_weight": -1.0}, "from 0"),
        ("ms-swift", "r.jsonl", {"loss_weight": float("nan")}, "from 0"),
        ("llama-factory", "r.txt", {}, ".jsonl or .json"),
        ("llama-factory", "dataset_info.json", {}, "another name"),
    ],
)
def test_options_that_do_not_fit(
    fmt: FormatName, out: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """An option that a format cannot honour is refused before anything is written."""
    with pytest.raises(ExportError, match=words):
        export([CHOICE], fmt, tmp_path / out, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "span"),
    [("video", (10.0, 26.0)), ("clip", None), ("segment", None), ("question", None)],
)
def test_span_of_the_file(name: str, span: tuple[float, float] | None) -> None:
    """A sample of a whole video says which part is asked about; a file that is the part needs no saying."""
    assert {sample.span for sample in samples(found_as(CHOICE, name))} == {span}
    assert bool(remarks([found_as(CHOICE, name)], "ms-swift")) == (span is not None)


def test_own_file_of_a_record() -> None:
    """A record's own file, when no video was opened, is its part of the video already."""
    [label] = samples(changed(WRONG, clip_file="cuts/7.mp4"))
    assert (label.video, label.span) == ("cuts/7.mp4", None)


def test_future_chains(tmp_path: Path) -> None:
    """A chain that saw the future is exported only when kept, and says so; its label never saw it."""
    seen = found_as(CHOICE, None, future=True)
    dropped = seen.model_copy(update={"kept": False})
    export([seen], "messages", tmp_path / "kept.jsonl")
    export([dropped], "messages", tmp_path / "dropped.jsonl")
    assert [(r["kind"], r["future_visible"]) for r in rows_of(tmp_path / "kept.jsonl")] == [
        ("label", False),
        ("rationale", True),
    ]
    assert [r["kind"] for r in rows_of(tmp_path / "dropped.jsonl")] == ["label"]


def test_blank_texts_are_no_samples() -> None:
    """A blank gold answer or a blank chain teaches nothing and is left out."""
    assert samples(with_chain(changed(OPEN, answer="  "), " ")) == []


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Make a run folder with one example, whose videos lie in `films`."""
    config = load_config("oracle", None, [], {"videos": str(tmp_path / "films")})
    manifest = new_manifest("c0ffee", models={}, prompts={}, seeds={}, annotation=None, counts={})
    made = Run.create(tmp_path / "run", config.model_dump(mode="json"), manifest)
    with made.writer() as writer:
        writer.example(CHOICE)
    return made.folder


def call(run: Path, out: Path, *words: str) -> Result:
    """Run the command `export`."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(run), "--out", str(out), *words])


def test_command(run: Path, tmp_path: Path) -> None:
    """The command writes the format, tells rows and remarks, and takes the run's own video folder."""
    out = tmp_path / "rows.jsonl"
    done = call(run, out, "--format", "ms-swift", "--absolute", "--loss-weight", "2")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == f"2 rows written to {out}"
    assert len([line for line in done.output.splitlines() if line.startswith("note: ")]) == 2
    assert rows_of(out)[0]["videos"] == [str(tmp_path / "films" / "v1.mp4")]
    call(run, out, "--format", "aotd", "--absolute", "--video-dir", "/films")
    assert rows_of(out)[0]["video_path"] == "/films/v1.mp4"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "aotd", "--video-dir", "x"], "--video-dir is for --absolute"),
        (["--format", "aotd", "--loss-weight", "2"], "no place for --loss-weight"),
        (["--format", "canonical", "--absolute"], "leave out --absolute"),
        (["--format", "llama-factory"], "give .jsonl or .json"),
    ],
)
def test_command_refuses(words: list[str], message: str, run: Path, tmp_path: Path) -> None:
    """Words that do not fit are one line to the user."""
    done = call(run, tmp_path / "rows", *words)
    assert isinstance(done.exception, UsageError)
    assert message in str(done.exception)
