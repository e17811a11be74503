"""Errors a person can mend, and the exit codes of the commands.

0 done; 1 the answer is "no" (a program refused); 2 bad input; 75 stopped, resume later; 130 interrupted.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BAD_INPUT", "INTERRUPTED", "RESUMABLE", "UsageError"]

BAD_INPUT: Final = 2
RESUMABLE: Final = 75
INTERRUPTED: Final = 130


class UsageError(Exception):
    """Bad input: one line that names the thing and the mend."""
