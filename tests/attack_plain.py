"""A host without any protection, in a process that may be thrown away: hostile programs must have teeth here.

Run as `python attack_plain.py`, with one JSON request on standard input: programs by name, each with its
source and the seconds that it gets. Each is run by plain `exec` in a fork of its own with a lid on memory,
processor and files, so that nothing harms the machine, in the host's own scope and with functions that take
anything, as where model code is run with `exec(..., globals())`. Prints one JSON row a program.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import io
import json
import math
import os
import resource
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

REQUEST: Final[dict[str, Any]] = json.loads(sys.stdin.read())
HOST_SECRET: Final[str] = REQUEST["secret"]
"""What a program finds when it gets at this module's names."""

MEMORY: Final = 1 << 29
LOG: Final = 8 << 20
MADE: list[tuple[str, dict[str, Any]]] = []


class EmptyClip(Exception):
    """As in the product."""


class ToolError(Exception):
    """As in the product."""


class Clip:
    """A clip as one would write it at first: an open object of the host's own."""

    def __init__(self, number: int, frames: list[int]) -> None:
        self.number = number
        self.frames = frames
        self.store = STORE
        self.start, self.end, self.num_frames = frames[0], frames[-1] + 1, len(frames)

    def describe(self) -> str:
        """Say which it is."""
        return f"clip {self.number}"


STORE: Final[dict[str, Clip]] = {}
"""All clips of all questions."""


def call(
    name: str, parameters: list[str], returns: str, values: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Take any call."""
    args = dict(zip([*parameters, "surplus", "surplus2"], values, strict=False))
    args = {key: value for key, value in args.items() if value is not None or key in ("clip", "obj")}
    args |= {f"{key}_again" if key in args else key: value for key, value in named.items()}
    MADE.append((name, {key: told(value, 0, inside=False) for key, value in args.items()}))
    if len(MADE) > 1000:
        raise RuntimeError("too many calls")
    answer = REQUEST["answers"][returns]
    return Clip(len(MADE), answer["$clip"]["frames"]) if returns == "clip" else answer


# One definition a function, as a module of tools has them: attacks read and replace what is behind a name.
DEFINITIONS: Final = "".join(
    f"def {name}(*values, **named):\n    return call({name!r}, {parameters!r}, {returns!r}, values, named)\n"
    for name, (parameters, returns) in REQUEST["api"].items()
)
exec(DEFINITIONS)  # noqa: S102 - written above
globals()["__builtins__"] = vars(builtins)  # a table, as in any module but the first


def told(value: Any, level: int, *, inside: bool) -> Any:
    """Write what was passed to a function as JSON, whatever it is."""
    kind = type(value)
    if kind is Clip and not inside:
        return {"$clip": f"clip{value.number}"}
    if level > 12:
        return {"$odd": "deep"}
    if kind in (list, tuple):
        return [told(item, level + 1, inside=inside) for item in list(value)[:10_001]]
    if kind is dict and all(type(key) is str for key in value):
        return {"$dict": [[key, told(item, level + 1, inside=True)] for key, item in value.items()]}
    if kind in (str, int, bool) or value is None or (kind is float and math.isfinite(value)):
        return value
    return {"$odd": kind.__name__}


def plain(value: Any) -> Any:
    """Write an answer as JSON, with the host's own hands on the object: that is what such hosts do."""
    for option in REQUEST["options"]:
        if value == option:
            return option
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        str(value)
        return {"$odd": type(value).__name__}


def entry(source: str, scope: dict[str, Any]) -> Any:
    """Run one program to its answer, in a scope that all share."""
    exec(compile(source, "<program>", "exec", dont_inherit=True), scope)  # noqa: S102 - that is the point
    return scope["execute_command"](Clip(0, list(range(32))), REQUEST["query"], list(REQUEST["options"]))


def run(source: str, result: int) -> None:
    """Run a program, then the good one in what is left, and write a row."""
    row: dict[str, Any] = {"answer": None, "error": None, "good": False, "calls": []}
    STORE["clip9"] = Clip(9, [1, 2, 3])
    scope = globals()
    try:
        row["answer"] = plain(entry(source, scope))
    except Exception as error:  # noqa: BLE001 - the boundary: what a program raises is data
        row["error"] = [type(error).__name__, str(error)[:10_000]]
        row["memory"] = isinstance(error, MemoryError)
    sys.stdout.flush()
    row["calls"] = MADE[:200]
    MADE.clear()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        row["good"] = entry(REQUEST["good"], scope) == REQUEST["good_answer"]
    os.write(result, _json(row))


def _json(row: dict[str, Any], dumps: Any = json.dumps) -> bytes:
    return bytes(dumps(row).encode("ascii"))


def child(source: str, result: int, log: int) -> None:
    """Put a lid on this process and run a program in it."""
    for which, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, 3),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LOG),
    ):
        resource.setrlimit(which, (most, most))
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = open(1, "w", errors="surrogatepass", closefd=False)  # noqa: SIM115 - as long as the process
    run(source, result)


def attend(program: dict[str, Any]) -> dict[str, Any]:
    """Run one program in a fork and tell what came of it."""
    source, sink = os.pipe()
    log = os.memfd_create("log")
    begun = time.monotonic()
    deadline = begun + program["wall"] + 0.5
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.close(source)
            child(program["source"], sink, log)
            sys.stdout.flush()
            os.close(sink)
            time.sleep(0.02 * (threading.active_count() > 1))
            import atexit

            atexit._run_exitfuncs()
            status = 0
        except SystemExit:
            status = 71
        finally:
            os._exit(status)
    os.close(sink)
    data, late = _read(source, deadline)
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            time.sleep(0.002)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    row = json.loads(data) if data else {"good": not late and status == 0}
    taken = usage.ru_maxrss > REQUEST["memory_mb"] * 1024
    printed = os.pread(log, LOG, 0).decode("utf-8", "surrogatepass")
    size = os.fstat(log).st_size
    os.close(log)
    broken = "" if data or late else f"the host ended by status {status}"
    return {
        "answer": row.get("answer"),
        "error": row.get("error"),
        "good": row["good"] or late or not data,
        "calls": row.get("calls", []),
        "printed": printed[:400_000],
        "printed_size": size,
        "late": late or not ended,
        "memory": bool(row.get("memory")) or taken,
        "broken": broken,
        "survivors": _survivors(),
    }


def _read(source: int, deadline: float) -> tuple[bytes, bool]:
    """Read what a fork writes: `(bytes, deadline passed)`."""
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([source], [], [], left)[0]:
            part = os.read(source, 1 << 20)
            if not part:
                os.close(source)
                return data, False
            data += part
            with contextlib.suppress(ValueError):
                json.loads(data)
                os.close(source)
                return data, False
    os.close(source)
    return b"", True


def _survivors() -> int:
    """End processes that a program left behind, and count them."""
    found = 0
    while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for pid in map(int, children):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            found += 1
    return found


def main() -> None:
    """Run all programs of the request, in order."""
    signalled: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, _: signalled.append(number))
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # what a program leaves behind becomes a child of this process
    for name, program in REQUEST["programs"].items():
        os.chdir(program["folder"])
        signalled.clear()
        row = attend(program)
        row |= {"name": name, "signalled": len(signalled), "ppid": os.getpid()}
        print(json.dumps(row), flush=True)  # noqa: T201 - the way out


if __name__ == "__main__":
    main()
