"""`dataset_info.json`, by which LLaMA-Factory finds a data set: the entry for a file of ours.

Other entries of an existing file stay as they are. This file writes no rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["InfoError", "dataset_info", "with_entry"]


class InfoError(ValueError):
    """A `dataset_info.json` that cannot take the entry, told in one line."""


def dataset_info(data: Path) -> Path:
    """Name the description that belongs to a file of rows: it lies beside it."""
    return data.with_name("dataset_info.json")


def with_entry(data: Path) -> str:
    """Return the text of `dataset_info.json` with an entry for `data`, named like the file.

    What a user added to an earlier entry of this file, such as `num_samples`, is kept. The text is ASCII:
    LLaMA-Factory reads the file in the machine's own encoding.

    Raises
    ------
    InfoError
        If the existing file is no JSON object, or has an entry of this name for other data.
    OSError
        If it cannot be read.
    """
    path = dataset_info(data)
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (ValueError, RecursionError) as error:
        raise InfoError(f"{path} is not JSON ({error}): mend or move it") from None
    if not isinstance(known, dict):
        raise InfoError(f"{path} holds no JSON object: mend or move it")
    entry = known.get(data.stem, {"file_name": data.name})
    if not isinstance(entry, dict) or entry.get("file_name") != data.name:
        raise InfoError(f"{path} has other data named {data.stem!r}: give --out another file name")
    return json.dumps({**known, data.stem: {**entry, **_entry(data.name)}}, indent=2) + "\n"


def _entry(file_name: str) -> dict[str, Any]:
    """Describe rows of `aotd.traces.export_chat.llama_row`."""
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "videos": "videos"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }
