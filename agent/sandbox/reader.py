"""Have a program read in a process of its own, and believe that process no more than a child.

Compiles and parses nothing itself, and keeps nothing of what it was told.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Final

from pydantic import ValidationError

from aotd.agent.sandbox.jail.protocol import OUTCOME
from aotd.agent.sandbox.wire import Malformed, bound, hold
from aotd.tools.api import ENTRY, wire
from aotd.traces.records import Reason, Record

__all__ = ["Reading", "Unread", "read"]

_SECONDS: Final = 10.0
_PROGRAM: Final = 64 * 1024
_SCRIPT: Final = "import sys; sys.path += sys.argv[1:]; from jail.reader import main; main()"
_ENDING: Final = re.compile("\r\n?")


class Unread(Exception):
    """The program was not read in time, or broke what read it."""


class Reading(Record):
    """What a program looks like before it is run."""

    reasons: tuple[Reason, ...]
    """Why it should be refused, in order of lines."""
    unfit: tuple[Reason, ...] = ()
    """Those for which it cannot be run at all."""
    dropped: tuple[tuple[int, int, int, int], ...] = ()
    """Statements that a run leaves out: first line and column, last line and column; lines count from 1,
    columns from 0 in bytes of UTF-8."""

    def text(self, program: str) -> str:
        """Give the program's text as it is run: line numbers are kept, what is left out becomes spaces."""
        lines = _ENDING.sub("\n", program).encode("utf-8", "replace").split(b"\n")
        touched: set[int] = set()
        for first, begin, last, end in self.dropped:
            for number in range(first, min(last, len(lines)) + 1):
                line = lines[number - 1]
                left = begin if number == first else 0
                right = end if number == last else len(line)
                lines[number - 1] = line[:left] + b" " * len(line[left:right]) + line[right:]
                touched.add(number)
        for number in touched:
            if not lines[number - 1].strip(b" \t;"):
                lines[number - 1] = b""
        return b"\n".join(lines).decode()


def read(program: str) -> Reading:
    """Read a program: syntax, limits, policy and contract.

    Raises
    ------
    Unread
        If what reads it was ended, or wrote what no reader would.
    """
    if len(program) > _PROGRAM:
        reason = Reason(line=None, kind="limits", message="the program is longer than 64 KB")
        return Reading(reasons=(reason,), unfit=(reason,))
    data = _ask(json.dumps({"program": program, "entry": ENTRY, "api": wire()}).encode())
    try:
        bound(data)
        reading = Reading.model_validate_json(data, strict=True)
        hold(reading.reasons)
        hold(reading.unfit)
    except (Malformed, ValidationError) as error:
        raise Unread("the program cannot be read, or not in time") from error
    return reading


def _ask(job: bytes) -> bytes:
    """Start the process, give it the job and take what it writes, up to a bound and a deadline."""
    import RestrictedPython

    folders = [Path(RestrictedPython.__file__).parent.parent, Path(__file__).parent]
    command = [sys.executable, "-P", "-s", "-S", "-B", "-c", _SCRIPT, *map(str, folders)]
    system = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(sys.executable).anchor,
        env={"PYTHONHASHSEED": "0", "PYTHON_JIT": "0", **system},
        start_new_session=True,  # an interrupt at the terminal is the host's to handle
    ) as process:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        alarm = Timer(_SECONDS, process.kill)
        alarm.start()
        try:
            with suppress(OSError):
                process.stdin.write(job)
                process.stdin.close()
            return process.stdout.read(OUTCOME + 1)
        finally:
            alarm.cancel()
            process.kill()
