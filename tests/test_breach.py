"""What holds when the language layer has fallen: programs with all of Python inside a confined child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attack_arena import Arena, breach, sandbox
from attack_corpus import FOLDER, programs

from aotd.agent.sandbox.jail.confine import LAYERS

NOBODY = 65534

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layers are those of Linux")


@pytest.fixture(scope="module")
def open_sandbox() -> Iterator[subprocess.Popen[str]]:
    """The same programs in a sandbox without layers, run beside the tests."""
    command = [sys.executable, str(FOLDER.parent / "attack_teeth.py"), "breach"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def stopped(arena: Arena, category: str) -> dict[str, list[str]]:
    """Give the programs that were not stopped."""
    won = {p.name: arena.held(p) for p in programs(category)}
    return {name: ways for name, ways in won.items() if ways}


def test_no_breach_succeeds(open_sandbox: subprocess.Popen[str]) -> None:
    """Native control of a child gives no file, network, process, signal, memory, descriptor or time."""
    with breach(), sandbox() as strict, Arena(strict) as arena:
        assert {"seccomp", "limit-memory"} <= set(strict.active)
        assert stopped(arena, "breach") == {}


def test_no_forged_outcome_is_believed() -> None:
    """A child that writes what it likes gets no answer, call, text or error past the host's reading."""
    with breach(), sandbox() as strict, Arena(strict) as arena:
        assert stopped(arena, "forging") == {}


def test_no_breach_succeeds_without_landlock() -> None:
    """Where the kernel has no Landlock, the other layers are enough."""
    others = [name for name in LAYERS if name != "landlock"]
    with breach(), sandbox(layers=others) as strict, Arena(strict) as arena:
        assert "landlock" not in strict.active
        assert stopped(arena, "breach") == {}


@pytest.mark.skipif(
    os.geteuid() != 0, reason="another user can be taken on by root only; this one is not root"
)
def test_no_breach_succeeds_as_nobody() -> None:
    """A child of a user without rights, whose processes may look at one another, reaches none of them."""
    with breach(NOBODY), sandbox() as strict, Arena(strict, NOBODY) as arena:
        assert "limit-processes" in strict.active
        assert stopped(arena, "breach") == {}


def test_breaches_have_teeth(open_sandbox: subprocess.Popen[str]) -> None:
    """By the same rule, at least two of three programs succeed when no layer but limits is there."""
    told = json.loads(open_sandbox.communicate(timeout=200)[0])
    assert told.keys() == {p.name for p in programs("breach")}
    without = sorted(name for name, ways in told.items() if not ways)
    assert len(without) <= len(told) / 3, without
