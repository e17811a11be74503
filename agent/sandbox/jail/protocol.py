"""The frames between host and zygote: two headers, a greeting and a size. Nothing else is shared by them."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["JOB", "OUTCOME", "REPLY", "STARTED"]

JOB: Final = struct.Struct("!IdII")
"""Header of a job: bytes that follow, wall seconds, processor seconds, megabytes of memory."""

REPLY: Final = struct.Struct("!Ii?d")
"""Header of a reply: bytes that follow, wait status, whether the deadline ended the child, wall seconds."""

OUTCOME: Final = 1024 * 1024
"""Bytes that a child may write."""

STARTED: Final = b"ready "
"""Written once, when the zygote can take jobs. JSON and a line's end follow: `layers`, each with why it does
not hold, and `deeds`, what a confined child tried, each with what happened; empty texts where all is well."""
