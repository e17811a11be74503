"""A folder for the Hub: two Parquet tables and a dataset card. It holds paths of videos, never videos.

    README.md                             the card (`aotd.traces.card`)
    cot/train-00000-of-00001.parquet      one training sample per row
    traces/train-00000-of-00001.parquet   one canonical row per row

Values of free form (`args`, `output`, `checks`, `models`, `prompt_hashes`) are JSON text, so that every
reader of Parquet can open them. Needs pyarrow, which the extra `hub` brings. This file uploads nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from aotd.traces.card import dataset_card
from aotd.traces.export_canonical import canonical_row
from aotd.traces.export_samples import Sample, samples
from aotd.traces.records import Example

__all__ = [
    "TABLE_FILE",
    "PyarrowMissing",
    "canonical_from_table",
    "schemas",
    "table_row",
    "write_hub",
]

Row = dict[str, Any]

TABLE_FILE: Final = "train-00000-of-00001.parquet"
_AT_ONCE: Final = 512
"""Examples turned into rows at once; also the size of a row group."""
_JSON_COLUMNS: Final = ("models", "prompt_hashes")


class PyarrowMissing(RuntimeError):
    """Parquet was asked for and pyarrow is not installed."""


def schemas() -> dict[str, Any]:
    """Return the pyarrow schema of each table, by its folder.

    Raises
    ------
    PyarrowMissing
        Without pyarrow.
    """
    if find_spec("pyarrow") is None:
        raise PyarrowMissing("Parquet needs pyarrow: pip install 'aotd[hub]'")
    import pyarrow as pa

    text, number, real, yes = pa.string(), pa.int32(), pa.float64(), pa.bool_()
    box = pa.struct([("frame", number), ("name", text), ("box", pa.list_(number)), ("score", real)])
    error = pa.struct([("kind", text), ("message", text)])
    step = [("step", number), ("line", number), ("tool", text), ("args", text), ("output", text)]
    step += [("frames", pa.list_(number)), ("boxes", pa.list_(box)), ("error", error)]
    verdict = pa.struct([("kept", yes), ("dropped", text), ("checks", text)])
    sample = [("id", text), ("kind", text), ("video", text), ("span", pa.list_(real)), ("prompt", text)]
    sample += [("response", text), ("loss_weight", real), ("future_visible", yes)]
    canonical = [("id", text), ("dataset", text), ("video_id", text), ("video", text)]
    canonical += [("clip", pa.list_(real)), ("frame_times", pa.list_(real)), ("question", text)]
    canonical += [("options", pa.list_(text)), ("answer", pa.struct([("index", number), ("text", text)]))]
    canonical += [(name, text) for name in ("question_type", "program", "program_output", "outcome")]
    canonical += [("trace", pa.list_(pa.struct(step))), ("cot", text), ("verdict", verdict)]
    canonical += [("models", text), ("prompt_hashes", text), ("config_hash", text), ("future_visible", yes)]
    return {"cot": pa.schema(sample), "traces": pa.schema(canonical)}


def write_hub(examples: Sequence[Example], out: Path, rationale_weight: float) -> int:
    """Write the folder, whole or not at all.

    Parameters
    ----------
    examples
        In the order of the rows.
    out
        A folder that does not exist or is empty.
    rationale_weight
        The `loss_weight` of rationale samples; that of labels is 1.

    Returns
    -------
    int
        Number of training samples written.

    Raises
    ------
    FileExistsError
        If `out` holds something.
    OSError
        If it cannot be written.
    PyarrowMissing
        Without pyarrow.
    """
    tables = schemas()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f"{out} exists: give the export a new folder")
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        (draft / "cot").mkdir(parents=True)
        (draft / "traces").mkdir()
        count = _write(draft / "cot", tables["cot"], examples, lambda e: _sample_rows(e, rationale_weight))
        _write(draft / "traces", tables["traces"], examples, lambda e: [table_row(canonical_row(e))])
        (draft / "README.md").write_text(dataset_card(examples), encoding="utf-8", newline="\n")
        draft.replace(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return count


def _write(
    folder: Path, schema: Any, examples: Sequence[Example], rows_of: Callable[[Example], list[Row]]
) -> int:
    """Write one table; return its rows."""
    import pyarrow as pa
    from pyarrow import parquet

    count = 0
    with parquet.ParquetWriter(folder / TABLE_FILE, schema, compression="zstd") as writer:
        for start in range(0, len(examples), _AT_ONCE):
            rows = [row for example in examples[start : start + _AT_ONCE] for row in rows_of(example)]
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _sample_rows(example: Example, rationale_weight: float) -> list[Row]:
    return [_sample_row(s, rationale_weight if s.kind == "rationale" else 1.0) for s in samples(example)]


def _sample_row(sample: Sample, weight: float) -> Row:
    return {
        "id": sample.id,
        "kind": sample.kind,
        "video": sample.video,
        "span": None if sample.span is None else list(sample.span),
        "prompt": sample.asked,
        "response": sample.said,
        "loss_weight": weight,
        "future_visible": sample.future_visible,
    }


def table_row(row: Row) -> Row:
    """Turn a canonical row into a row of the table `traces`.

    A chain that rests on the future and was not kept is left out: what is published is read without its
    verdict.
    """
    if row["future_visible"] and not row["verdict"]["kept"]:
        row = row | {"cot": None}
    steps = [step | {"args": _text(step["args"]), "output": _text(step["output"])} for step in row["trace"]]
    verdict = row["verdict"] | {"checks": _text(row["verdict"]["checks"])}
    return row | {"trace": steps, "verdict": verdict} | {name: _text(row[name]) for name in _JSON_COLUMNS}


def canonical_from_table(row: Row) -> Row:
    """Turn a row of the table `traces` back into a canonical row, but for a chain that was left out.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is no such row.
    """
    steps = [
        step | {"args": json.loads(step["args"]), "output": json.loads(step["output"])}
        for step in row["trace"]
    ]
    verdict = row["verdict"] | {"checks": json.loads(row["verdict"]["checks"])}
    return row | {"trace": steps, "verdict": verdict} | {n: json.loads(row[n]) for n in _JSON_COLUMNS}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
