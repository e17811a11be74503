"""Run hostile programs where nothing stops them, and tell which succeed: the corpus must have teeth.

Run as `python attack_teeth.py plain`, for programs on a host that executes them by itself
(`attack_plain.py`, a few at a time), or `python attack_teeth.py breach`, for breach programs in the sandbox
with all its layers off but memory and time. Prints one JSON object: how each program succeeded.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from attack_arena import INPUTS, MEMORY_MB, Arena, breach, sandbox
from attack_bait import Place, Port
from attack_corpus import ANSWERS, GOOD, GOOD_ANSWER, Program, Seen, fill, programs, successes

from aotd.tools.api import API

__all__ = ["Teeth", "breached", "unprotected"]

LANES: Final = 4

Teeth = dict[str, list[str]]
"""By program: the ways in which it succeeded."""


def breached() -> Teeth:
    """Run breach programs with nothing around them but limits of memory and time."""
    bare = sandbox("none", ("dies-with-parent", "limit-memory", "limit-cpu"))
    with breach(), bare, Arena(bare) as arena:
        return {p.name: successes(arena.attack(p), arena.canaries()) for p in programs("breach")}


def unprotected(folder: Path) -> Teeth:
    """Run programs by plain `exec`, each once, with a folder of its own."""
    every = programs()
    with ThreadPoolExecutor(LANES) as threads:
        lanes = threads.map(lambda n: _lane(every[n::LANES], folder / f"lane{n}"), range(LANES))
        return {name: told for lane in lanes for name, told in lane.items()}


def _lane(some: list[Program], folder: Path) -> Teeth:
    """Run some programs one after another in one process."""
    folder.mkdir()
    port, secret = Port(), "memory-" + secrets.token_hex(16)
    environment = "environment-" + secrets.token_hex(16)
    places = {p.name: Place(folder / p.name.replace("/", "-")) for p in some}
    request = {
        "secret": secret,
        "query": INPUTS.query,
        "options": INPUTS.possible_answers,
        "memory_mb": MEMORY_MB,
        "api": {f.name: ([p.name for p in f.parameters], f.returns) for f in API.values()},
        "answers": ANSWERS,
        "good": GOOD,
        "good_answer": GOOD_ANSWER,
        "programs": {
            p.name: {
                "source": fill(
                    p.source, places[p.name].places() | {"PORT": str(port.number), "ENV": "AOTD_CANARY"}
                ),
                "wall": p.wall,
                "folder": str(places[p.name].folder),
            }
            for p in some
        },
    }
    host = subprocess.Popen(
        [sys.executable, "-B", str(Path(__file__).parent / "attack_plain.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"AOTD_CANARY": environment, "PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore"},
        text=True,
    )
    assert host.stdin is not None
    assert host.stdout is not None
    with host, host.stdin as stdin:
        stdin.write(json.dumps(request))
        stdin.close()
        told: Teeth = {}
        for line in host.stdout:
            row = json.loads(line)
            place = places[row["name"]]
            seen = _seen(row, [*place.changed(), *["reached the port"] * bool(port.take())])
            canaries = [place.canary, secret, environment, f"ppid={row['ppid']}"]
            told[row["name"]] = successes(seen, canaries)
    port.close()
    return told


def _seen(row: dict[str, Any], effects: list[str]) -> Seen:
    """Tell a row as what is seen of a program."""
    effects += ["left a process behind"] * bool(row["survivors"]) + ["signalled the host"] * bool(
        row["signalled"]
    )
    printed = row["printed"].split("\n")
    return Seen(
        answer=row["answer"],
        error=tuple(row["error"]) if row["error"] else None,
        printed=tuple(printed if printed[-1] else printed[:-1]),
        calls=tuple((name, args) for name, args in row["calls"]),
        late=row["late"],
        memory=row["memory"],
        broken=row["broken"],
        effects=tuple(effects),
        good=row["good"],
    )


def main() -> None:
    """Run one of the two sets."""
    os.nice(10)  # the tests that run meanwhile hold deadlines
    with tempfile.TemporaryDirectory() as folder:
        told = breached() if sys.argv[1] == "breach" else unprotected(Path(folder))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
