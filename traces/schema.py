"""JSON Schemas of a run's files, for readers in other languages.

The schemas describe rows as they are written. The header line of a journal and `config.yaml` have none.
This file validates nothing.
"""

from __future__ import annotations

from typing import Any

from aotd.traces.records import Example
from aotd.traces.runs import Manifest, ModelCall

__all__ = ["json_schemas"]


def json_schemas() -> dict[str, Any]:
    """Give the schema of each file of a run: a row of `examples` and `calls`, and the `manifest`."""
    return {
        "examples": Example.model_json_schema(mode="serialization"),
        "calls": ModelCall.model_json_schema(mode="serialization"),
        "manifest": Manifest.model_json_schema(mode="serialization"),
    }
