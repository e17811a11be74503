"""Hostile programs against the sandbox: none may succeed, and on a host without protection most do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attack_arena import Arena, sandbox
from attack_corpus import BREACHES, FOLDER, GOOD, Program, programs, successes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what changed is looked up in /proc")

CATEGORIES = sorted({p.name for p in FOLDER.iterdir() if p.is_dir()} - set(BREACHES))


@pytest.fixture(scope="module")
def unprotected() -> Iterator[subprocess.Popen[str]]:
    """The same programs on a host without protection, run beside the tests."""
    command = [sys.executable, str(FOLDER.parent / "attack_teeth.py"), "plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def arena(unprotected: subprocess.Popen[str]) -> Iterator[Arena]:
    """A sandbox among things that programs must not reach."""
    with sandbox() as strict, Arena(strict) as made:
        yield made


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_attack_succeeds(arena: Arena, category: str) -> None:
    """No program reaches, leaves, takes or sends what it must not, and after each a good program passes."""
    won = {p.name: arena.held(p) for p in programs(category)}
    assert {name: ways for name, ways in won.items() if ways} == {}


def test_attacks_have_teeth(unprotected: subprocess.Popen[str]) -> None:
    """By the same rule, at least three of four programs succeed where they are run by plain `exec`."""
    told = json.loads(unprotected.communicate(timeout=200)[0])
    assert told.keys() == {p.name for p in programs()}
    assert len(told) >= 150
    without = sorted(name for name, ways in told.items() if not ways)
    assert len(without) <= len(told) / 4, without


def test_the_rule_lets_good_programs_pass(arena: Arena) -> None:
    """The rule finds nothing in a program that does nothing wrong, so it tells hostile ones apart."""
    seen = arena.attack(Program("good/program", GOOD))
    assert [name for name, _ in seen.calls] == ["Find", "Count"]
    assert successes(seen, arena.canaries()) == []
