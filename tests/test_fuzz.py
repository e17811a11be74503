"""Programs and bytes changed at random: an outcome or a declared error comes of each, and the host lives on.

The long form of this is `python -m aotd.benchmarks.perf.fuzz`.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.sandbox.admit import admit
from aotd.agent.sandbox.backend import AnswerMisfit, Inputs, Limits
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.sandbox.jail.protocol import REPLY
from aotd.agent.sandbox.outcome import Killed, NextCall, Raised, Refused, Returned
from aotd.agent.sandbox.wire import Malformed, Misfit, decode
from aotd.agent.sandbox.worker import Lost, Starter, Worker
from aotd.benchmarks.perf.fuzz import fuzz_frames, fuzz_programs, fuzz_replies
from aotd.benchmarks.perf.mutate import OUTCOMES, damage, mutate, programs

INPUTS = Inputs(frames=tuple(range(32)), query="What?", possible_answers=("The cup.", "The book."))
OUTCOME = NextCall | Returned | Raised | Refused | Killed
CHANCE = st.integers(0, 2**32 - 1).map(random.Random)


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    """Good programs."""
    return programs(0)


@pytest.fixture(scope="module")
def quick() -> Iterator[Sandbox]:
    """A sandbox that waits for no endless loop."""
    with Sandbox(Limits(wall_seconds=0.5, cpu_seconds=1, memory_mb=192), workers=1) as made:
        yield made


def test_the_unchanged_is_good(quick: Sandbox, corpus: list[str]) -> None:
    """What is changed is good before: outcomes are read, and programs pass the check."""
    assert [decode(data, 1, 64).outcome for data in OUTCOMES][-1] == "misfit"
    assert len(corpus) > 20
    assert [text for text in corpus if quick.check(text, INPUTS)] == []


@given(CHANCE)
@settings(max_examples=500, deadline=None)
def test_damaged_outcomes(chance: random.Random) -> None:
    """What a child wrote, damaged, is an outcome within its bounds or Malformed."""
    with suppress(Malformed, AnswerMisfit):
        read = decode(damage(chance), 1, 64)
        assert isinstance(read, OUTCOME | Misfit)
        assert isinstance(admit(read, INPUTS.frames, [{"ok": True}], Limits()), OUTCOME)


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=100, deadline=None)
def test_noise_from_a_zygote(noise: bytes, size: int, headed: bool) -> None:  # noqa: FBT001
    """A reply that is cut short or has a false length is a reply or Lost."""
    worker = Worker(Starter(), (), 64)
    ours, theirs = socket.socketpair()
    worker._control = ours
    with theirs:
        theirs.sendall(REPLY.pack(size, 0, False, 0.0) + noise if headed else noise)
        theirs.shutdown(socket.SHUT_WR)
        with suppress(Lost):
            reply = worker.exchange(b"{}", wall=0.1, cpu_seconds=1, memory_mb=64)
            assert len(reply.data) <= len(noise)
        worker.close()


@given(CHANCE)
@settings(max_examples=40, deadline=None)
def test_changed_programs(quick: Sandbox, corpus: list[str], chance: random.Random) -> None:
    """A changed program is checked and run to an outcome, whatever it has become."""
    text = mutate(chance, corpus)
    quick.check(text, INPUTS)
    assert isinstance(quick.run(text, INPUTS, []), OUTCOME)


def test_the_long_form_works(quick: Sandbox) -> None:
    """The command's parts count every input and find no exception of the host."""
    frames, _ = fuzz_frames(200, seed=1)
    replies = fuzz_replies(20, seed=1)
    found, _ = fuzz_programs(quick, 20, seed=1, threads=1)
    assert (sum(frames.values()), sum(replies.values()), sum(found.values())) == (200, 20, 40)
    assert not [what for what in frames + replies + found if what.startswith("!")]
