"""The folder for the Hub: the card always, the tables where pyarrow is installed."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from aotd.traces.card import dataset_card
from aotd.traces.export import export
from aotd.traces.export_canonical import canonical_row
from aotd.traces.export_hub import PyarrowMissing, canonical_from_table, table_row
from aotd.traces.records import Example, Rationale, Sentence, Verdict

GOLDEN = Path(__file__).parent / "golden"
STORIES = [Example.model_validate_json(line) for line in (GOLDEN / "stories.jsonl").read_text().splitlines()]


def with_chain(example: Example, *, kept: bool = True) -> Example:
    """Give an example a chain of thought that passed the check `faithful`."""
    texts = ("From frame 3 to frame 9, the person put down the sandwich.", "So the answer is The sandwich.")
    rationale = Rationale(writer="hand", sentences=tuple(Sentence(text=text) for text in texts))
    verdict = Verdict(check="faithful", passed=True, reason="told as found")
    return example.model_copy(update={"rationale": rationale, "verdicts": (verdict,), "kept": kept})


def in_future(example: Example) -> Example:
    """Let an oracle have seen the future."""
    assert example.trace is not None
    trace = example.trace.model_copy(update={"future_visible": True})
    return example.model_copy(
        update={"attempts": (example.attempts[-1].model_copy(update={"trace": trace}),)}
    )


THREE = [with_chain(STORIES[0]), STORIES[2], STORIES[4]]


def test_card() -> None:
    """The card counts samples and the funnel, and names models, prompts, sources and papers."""
    card = dataset_card(THREE)
    head = yaml.safe_load(card.split("---")[1])
    assert [c["config_name"] for c in head["configs"]] == ["cot", "traces"]
    assert head["size_categories"] == ["n<1K"]
    assert "3 label samples and 1 rationale samples" in card
    for line in (
        "| `Feasibility` | 1 | 0 | 0 | 0 | 0 | 0 | 0 |",
        "| `Interaction` | 1 | 1 | 1 | 1 | 1 | 1 | 1 |",
        "| all | 3 | 2 | 1 | 1 | 1 | 1 | 1 |",
        "| right | 2 |",
        "| `planner` | `grammar/1` |",
        "| `planner` | `ab12` |",
        "Configuration: `c0ffee`.",
    ):
        assert line in card.splitlines()
    assert "**not to be redistributed**" in card
    assert "wu2021star" in card
    assert "nextqa" not in card


def test_card_of_foreign_names() -> None:
    """Names from a run cannot break a table or the header, and an unknown data set asks for its terms."""
    question = STORIES[0].question.model_copy(update={"dataset": "my|set", "type": "a`b\n| c |\n---"})
    provenance = STORIES[0].provenance.model_copy(update={"models": {"planner": "x`y|<script>\n---"}})
    card = dataset_card([STORIES[0].model_copy(update={"question": question, "provenance": provenance})])
    assert "- `my/set`: look up the terms" in card
    assert "| `a'b / c / ---` | 1 | 1 | 0 | 0 | 0 | 0 | 0 |" in card.splitlines()
    assert "| `planner` | `x'y/<script> ---` |" in card.splitlines()
    assert card.count("\n---\n") == 1


def test_table_rows() -> None:
    """A canonical row goes into a row of the table and back unchanged, its free values being JSON text."""
    row = canonical_row(THREE[0])
    there = table_row(row)
    assert json.loads(there["trace"][0]["args"]) == row["trace"][0]["args"]
    assert isinstance(there["models"], str)
    assert canonical_from_table(there) == row


@pytest.mark.parametrize(("kept", "told"), [(True, True), (False, False)])
def test_future_chain_in_table(*, kept: bool, told: bool) -> None:
    """The table for publication leaves out a chain that rests on the future and was not kept."""
    row = table_row(canonical_row(in_future(with_chain(STORIES[0], kept=kept))))
    assert (row["cot"] is not None, row["future_visible"]) == (told, True)


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_without_pyarrow(tmp_path: Path) -> None:
    """Without pyarrow the error names the extra, and nothing is written."""
    with pytest.raises(PyarrowMissing, match=r"aotd\[hub\]"):
        export(THREE, "parquet", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_folder(tmp_path: Path) -> None:
    """The folder holds the card, the canonical rows and AoTD's samples, and the same bytes each time."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (aotd[hub]) is not installed")
    assert export(THREE, "parquet", tmp_path / "one") == 4
    assert export(THREE[::-1], "parquet", tmp_path / "two") == 4
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    table = "train-00000-of-00001.parquet"
    assert [str(file) for file in files] == ["README.md", f"cot/{table}", f"traces/{table}"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    traces = parquet.read_table(tmp_path / "one" / "traces" / table).to_pylist()
    golden = [json.loads(line) for line in (GOLDEN / "canonical.jsonl").read_text().splitlines()]
    assert [canonical_from_table(row) for row in traces] == golden
    told = [json.loads(line) for line in (GOLDEN / "aotd.jsonl").read_text().splitlines()]
    texts = [[turn["content"][0]["text"] for turn in row["conversation"]] for row in told]
    samples = parquet.read_table(tmp_path / "one" / "cot" / table).to_pylist()
    assert [[row["prompt"], row["response"]] for row in samples] == texts
    assert {tuple(row["span"]) for row in samples} == {(10.0, 26.0)}


def test_folder_in_use(tmp_path: Path) -> None:
    """A folder that holds something is refused and stays as it is; an empty one is taken."""
    pytest.importorskip("pyarrow", reason="pyarrow (aotd[hub]) is not installed")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").touch()
    with pytest.raises(FileExistsError, match="give the export a new folder"):
        export(THREE, "parquet", mine)
    assert list(mine.iterdir()) == [mine / "notes"]
    (mine / "notes").unlink()
    export(THREE, "parquet", mine)
    assert sorted(tmp_path.iterdir()) == [mine]
