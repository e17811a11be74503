"""Exports read by the trainers' own loaders, each in an environment of its own.

Opt-in: AOTD_DATASETS_PYTHON, AOTD_SWIFT_PYTHON and AOTD_LLAMA_FACTORY_PYTHON name the Python of an
environment with datasets >= 4.7, ms-swift, or LLaMA-Factory. Nothing is downloaded and no model is loaded.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aotd.traces.export import FormatName, export
from aotd.traces.export_hub import canonical_from_table
from aotd.traces.records import Example, Rationale, Sentence

GOLDEN = Path(__file__).parent / "golden"
STORIES = [Example.model_validate_json(line) for line in (GOLDEN / "stories.jsonl").read_text().splitlines()]
SENTENCES = (
    Sentence(text="The person put down the sandwich."),
    Sentence(text="So the answer is The sandwich."),
)
KEPT = {"rationale": Rationale(writer="hand", sentences=SENTENCES), "kept": True}
EXAMPLES = [STORIES[0].model_copy(update=KEPT), STORIES[2], STORIES[4]]

DATASETS = """
import json, sys
from datasets import load_dataset
kind, place, name = sys.argv[1:]
loaded = load_dataset("json", data_files=place, split="train") if kind == "json" else \\
    load_dataset(place, name, split="train")
print(json.dumps([dict(row) for row in loaded]))
"""

SWIFT = """
import json, sys
from swift.dataset import load_dataset
loaded, _ = load_dataset(sys.argv[1], strict=True)
print(json.dumps([dict(row) for row in loaded]))
"""

LLAMA = """
import json, sys
from transformers import Seq2SeqTrainingArguments
from llamafactory.data.loader import _load_single_dataset
from llamafactory.data.mm_plugin import get_mm_plugin
from llamafactory.data.parser import get_dataset_list
from llamafactory.hparams import DataArguments, ModelArguments
folder, name = sys.argv[1:]
[attributes] = get_dataset_list([name], folder)
loaded = _load_single_dataset(
    attributes,
    ModelArguments(model_name_or_path="none"),
    DataArguments(dataset=name, dataset_dir=folder, media_dir=folder),
    Seq2SeqTrainingArguments(output_dir=folder + "/out", use_cpu=True),
)
plugin = get_mm_plugin("qwen2_vl", image_token="<|image_pad|>", video_token="<|video_pad|>")
for row in loaded:
    turns = row["_prompt"] + row["_response"]
    plugin._validate_messages(turns, row["_images"] or [], row["_videos"] or [], [])
print(json.dumps([dict(row) for row in loaded]))
"""


def load(variable: str, script: str, home: Path, *words: str) -> list[dict[str, Any]]:
    """Run a loader in its own environment and read the rows that it prints last."""
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with this trainer")
    environment = {**os.environ, "HOME": str(home), "HF_HUB_OFFLINE": "1", "USE_HF": "1"}
    environment.pop("PYTHONWARNINGS", None)
    done = subprocess.run(
        [python, "-c", script, *words], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


@pytest.mark.parametrize("fmt", ["canonical", "aotd", "messages", "ms-swift", "llama-factory"])
def test_datasets_reads_lines(fmt: FormatName, tmp_path: Path) -> None:
    """The library datasets gives every row of every format back as it was written."""
    out = tmp_path / "rows.jsonl"
    export(EXAMPLES, fmt, out)
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert load("AOTD_DATASETS_PYTHON", DATASETS, tmp_path, "json", str(out), "") == written


def test_datasets_reads_the_folder(tmp_path: Path) -> None:
    """It finds both tables by the card's header, and the canonical rows come back."""
    pytest.importorskip("pyarrow", reason="pyarrow (aotd[hub]) is not installed")
    export(EXAMPLES, "parquet", tmp_path / "hub")
    export(EXAMPLES, "canonical", tmp_path / "rows.jsonl")
    written = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    folder = str(tmp_path / "hub")
    traces = load("AOTD_DATASETS_PYTHON", DATASETS, tmp_path, "folder", folder, "traces")
    assert [canonical_from_table(row) for row in traces] == written
    samples = load("AOTD_DATASETS_PYTHON", DATASETS, tmp_path, "folder", folder, "cot")
    assert [row["kind"] for row in samples] == ["label", "label", "rationale", "label"]


@pytest.mark.parametrize("weight", [None, 0.5])
def test_ms_swift_reads_rows(weight: float | None, tmp_path: Path) -> None:
    """ms-swift, told to be strict, keeps every row with its turns, videos, channel and weights."""
    out = tmp_path / "rows.jsonl"
    export(EXAMPLES, "ms-swift", out, loss_weight=weight)
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    loaded = load("AOTD_SWIFT_PYTHON", SWIFT, tmp_path, str(out))
    for row, expected in zip(loaded, written, strict=True):
        turns = [{k: v for k, v in turn.items() if v is not None} for turn in row["messages"]]
        assert turns == expected["messages"]
        assert (row["videos"], row["channel"]) == (expected["videos"], expected["channel"])


def test_llama_factory_reads_rows(tmp_path: Path) -> None:
    """LLaMA-Factory finds the rows by name, keeps them all, counts the marks right and finds the videos."""
    export(EXAMPLES, "llama-factory", tmp_path / "star_cot.jsonl")
    (tmp_path / "v1.mp4").touch()
    loaded = load("AOTD_LLAMA_FACTORY_PYTHON", LLAMA, tmp_path, str(tmp_path), "star_cot")
    written = [json.loads(line) for line in (tmp_path / "star_cot.jsonl").read_text().splitlines()]
    assert [row["_prompt"] + row["_response"] for row in loaded] == [row["messages"] for row in written]
    assert [row["_videos"] for row in loaded][1:] == [[str(tmp_path / "v1.mp4")]] * 3
