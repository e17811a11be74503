"""One row per training sample, as each trainer reads it.

    aotd           AoTD's own loader: `video_path`, `conversation` of typed parts
    messages       transformers 5 chat templates and TRL: `messages` of typed parts
    ms-swift       ms-swift 4: `messages` of texts with the mark `<video>`, `videos`
    llama-factory  LLaMA-Factory 0.9: the same; `dataset_info.json` says so (`aotd.traces.export_llama`)

This file writes no files.
"""

from __future__ import annotations

from typing import Any

from aotd.traces.export_samples import Sample

__all__ = ["aotd_row", "llama_row", "messages_row", "swift_row"]

Row = dict[str, Any]


def aotd_row(sample: Sample) -> Row:
    """Write a sample as AoTD does. Source: AoTD's data format (its README spells one key `conversations`)."""
    return {
        "video_path": sample.video,
        "conversation": [
            {"role": "user", "content": [{"type": "text", "text": sample.asked}, {"type": "video"}]},
            {"role": "assistant", "content": [{"type": "text", "text": sample.said}]},
        ],
    }


def messages_row(sample: Sample, loss_weight: float) -> Row:
    """Write a sample as messages for a chat template; weight, span and marks stand beside them."""
    return {
        **_about(sample),
        "span": None if sample.span is None else list(sample.span),
        "loss_weight": loss_weight,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "video", "video": sample.video}, {"type": "text", "text": sample.asked}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": sample.said}]},
        ],
    }


def swift_row(sample: Sample, loss_weight: float | None) -> Row:
    """Write a sample for ms-swift; `channel` lets it report the loss of labels and rationales apart."""
    row = _marked(sample)
    if loss_weight is not None:
        row["messages"][1]["loss_scale"] = loss_weight
    return {"id": sample.id, "channel": sample.kind, "future_visible": sample.future_visible, **row}


def llama_row(sample: Sample) -> Row:
    """Write a sample for LLaMA-Factory, which has no place for weights and passes over the first keys."""
    return {**_about(sample), **_marked(sample)}


def _about(sample: Sample) -> Row:
    return {"id": sample.id, "kind": sample.kind, "future_visible": sample.future_visible}


def _marked(sample: Sample) -> Row:
    return {
        "messages": [
            {"role": "user", "content": f"<video>{sample.asked}"},
            {"role": "assistant", "content": sample.said},
        ],
        "videos": [sample.video],
    }
