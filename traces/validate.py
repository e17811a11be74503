"""Check a training file before a trainer does: every row against its format's rules, equal faults told once.

Any bytes give findings, never an exception; files that aotd did not write are welcome. What a row must be is
in `aotd.traces.row_rules`. This file mends nothing and opens no video.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from aotd.traces.export import FormatName
from aotd.traces.export_hub import canonical_from_table, schemas
from aotd.traces.export_llama import dataset_info
from aotd.traces.row_reader import Place, read_rows
from aotd.traces.row_rules import (
    LLAMA,
    SWIFT,
    Fault,
    Form,
    aotd_rules,
    canonical_rules,
    chat_rules,
    messages_rules,
    sample_rules,
)

__all__ = ["Finding", "Validation", "validate"]

Rules = Callable[[Any], Iterable[Fault]]

_MOST: Final = 100
"""Different faults after which reading stops: such a file is not of the format at all."""


class Finding(NamedTuple):
    """A fault and where it is."""

    place: str
    """The first row that has it, such as `line 3` or `cot row 3`, from 1; empty for the file as a whole."""
    message: str
    warning: bool
    rows: int
    """Rows that have it."""


class Validation(NamedTuple):
    """What was found in a file."""

    rows: int
    findings: tuple[Finding, ...]
    """In order of first appearance, errors before warnings."""

    @property
    def valid(self) -> bool:
        """Nothing was found but warnings."""
        return all(finding.warning for finding in self.findings)


class _Tally:
    """Faults so far: where each was first, and how many rows have it."""

    def __init__(self) -> None:
        self.rows = 0
        self._seen: dict[Fault, tuple[str, int]] = {}

    def add(self, faults: Iterable[Fault], where: str = "") -> None:
        """Add faults of one place; a fault that it has twice counts once."""
        for fault in dict.fromkeys(faults):
            first, count = self._seen.get(fault, (where, 0))
            self._seen[fault] = (first, count + 1)

    def check(self, places: Iterable[Place], rules: Rules) -> None:
        """Add the faults of all rows, up to far too many."""
        before = self.rows
        for place in places:
            self.rows += 1
            self.add([Fault(place.fault)] if place.fault else rules(place.value), place.where)
            if len(self._seen) > _MOST:
                self.add([Fault("too many different faults: reading stopped here")], place.where)
                return
        if self.rows == before:
            self.add([Fault("there is no row")])

    def told(self) -> Validation:
        """Return what was found."""
        findings = [Finding(where, f.message, f.warning, n) for f, (where, n) in self._seen.items()]
        return Validation(self.rows, tuple(sorted(findings, key=lambda finding: finding.warning)))


def validate(path: Path, fmt: FormatName, videos: Path | None = None) -> Validation:
    """Check a file, or the folder of `parquet`.

    Parameters
    ----------
    videos
        Folder of videos: files that are not there are errors. By default nobody looks.

    Raises
    ------
    OSError
        If the file cannot be read.
    PyarrowMissing
        If `parquet` is to be checked without pyarrow.
    """
    tally = _Tally()
    match fmt:
        case "parquet":
            _check_parquet(path, videos, tally)
        case "canonical":
            tally.check(read_rows(path), _once_each(lambda row: canonical_rules(row, videos)))
        case "aotd":
            tally.check(read_rows(path), lambda row: aotd_rules(row, videos))
        case "messages":
            tally.check(read_rows(path), lambda row: messages_rules(row, videos))
        case "ms-swift":
            tally.check(read_rows(path), lambda row: chat_rules(row, SWIFT, videos))
        case "llama-factory":
            form, faults = _described(path)
            tally.add(faults)
            tally.check(read_rows(path), lambda row: chat_rules(row, form, videos))
    return tally.told()


def _once_each(rules: Rules) -> Rules:
    """Add the rule that no two rows have one id."""
    seen: set[str] = set()

    def check(row: Any) -> Iterator[Fault]:
        yield from rules(row)
        name = row.get("id") if isinstance(row, dict) else None
        if isinstance(name, str):
            if name in seen:
                yield Fault("id is that of an earlier row")
            seen.add(name)

    return check


def _described(data: Path) -> tuple[Form, list[Fault]]:
    """Read from `dataset_info.json` how the rows of a file are spelled, as LLaMA-Factory does."""
    faults = []
    if data.suffix not in (".json", ".jsonl"):
        faults.append(Fault("LLaMA-Factory knows files by their ending: name it .json or .jsonl"))
    path = dataset_info(data)
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except (ValueError, RecursionError):
        return LLAMA, [*faults, Fault("dataset_info.json beside it is not JSON")]
    entries = [e for e in known.values() if isinstance(e, dict)] if isinstance(known, dict) else []
    entry = next((e for e in entries if e.get("file_name") == data.name), None)
    if entry is None:
        missing = "dataset_info.json beside it has no entry for this file: LLaMA-Factory does not find it"
        return LLAMA, [*faults, Fault(missing, warning=True)]
    if entry.get("formatting") not in ("sharegpt", "openai"):
        faults.append(Fault("dataset_info.json: formatting must be sharegpt or openai for rows of turns"))
    return _form(entry.get("columns"), entry.get("tags")), faults


def _form(columns: Any, tags: Any) -> Form:
    """Read columns and tags; what is left out has LLaMA-Factory's defaults."""

    def name(table: Any, key: str, default: str) -> str:
        value = table.get(key) if isinstance(table, dict) else None
        return value if isinstance(value, str) else default

    def column(key: str) -> str | None:
        value = columns.get(key) if isinstance(columns, dict) else None
        return value if isinstance(value, str) else None

    return Form(
        messages=name(columns, "messages", "conversations"),
        images=column("images"),
        videos=column("videos"),
        audios=column("audios"),
        role=name(tags, "role_tag", "from"),
        content=name(tags, "content_tag", "value"),
        system=frozenset({name(tags, "system_tag", "system")}),
        user=frozenset({name(tags, "user_tag", "human"), name(tags, "observation_tag", "observation")}),
        assistant=frozenset(
            {name(tags, "assistant_tag", "gpt"), name(tags, "function_tag", "function_call")}
        ),
    )


def _check_parquet(path: Path, videos: Path | None, tally: _Tally) -> None:
    """Check a table, or a folder with both tables and the card."""
    expected = schemas()
    if not path.is_dir():
        _check_table(path, None, expected, videos, tally)
        return
    if not (path / "README.md").is_file():
        tally.add([Fault("README.md, the dataset card, is missing", warning=True)])
    for name in expected:
        files = sorted((path / name).glob("*.parquet"))
        if not files:
            tally.add([Fault(f"folder {name} holds no table (*.parquet)")])
        for file in files:
            _check_table(file, name, expected, videos, tally)


def _check_table(
    path: Path, name: str | None, expected: dict[str, Any], videos: Path | None, tally: _Tally
) -> None:
    """Check one table; without a name, its columns tell which of the two it is."""
    import pyarrow as pa
    from pyarrow import parquet

    with path.open("rb") as file:
        try:
            table = parquet.ParquetFile(file)
            name = name or ("traces" if "trace" in table.schema_arrow.names else "cot")
            faults = list(_schema_faults(table.schema_arrow, expected[name], name))
            tally.add(faults)
            if not faults:
                tally.check(_table_rows(table, name), _table_rules(name, videos))
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # pyarrow's words for a torn file
            why = " ".join(str(error).split())[:100]
            tally.add([Fault(f"not a Parquet table that can be read: {why!a}")])


def _schema_faults(found: Any, expected: Any, name: str) -> Iterator[Fault]:
    for field in expected:
        if field.name not in found.names:
            yield Fault(f"table {name} has no column {field.name}")
        elif _type_name(found.field(field.name).type) != _type_name(field.type):
            yield Fault(f"table {name}: column {field.name} must be {_type_name(field.type)}")


def _type_name(arrow_type: Any) -> str:
    """Name a type without the spellings in which writers differ."""
    return str(arrow_type).replace("large_", "").replace("<element: ", "<item: ")


def _table_rows(table: Any, name: str) -> Iterator[Place]:
    number = 0
    for batch in table.iter_batches(batch_size=512):
        for row in batch.to_pylist():
            number += 1
            yield Place(f"{name} row {number}", row)


def _table_rules(name: str, videos: Path | None) -> Rules:
    if name == "cot":
        return lambda row: sample_rules(row, videos)
    canonical = _once_each(lambda row: canonical_rules(row, videos))

    def check(row: Any) -> Iterator[Fault]:
        try:
            restored = canonical_from_table(row)
        except (ValueError, TypeError, KeyError, RecursionError):
            yield Fault("trace, verdict, models or prompt_hashes hold text that is not JSON")
            return
        yield from canonical(restored)

    return check
