"""Shared fixtures: where the real data lies, when it is there, a sandbox, and the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aotd.agent.sandbox.host import Limits, Sandbox
from aotd.cli.main import main

Aotd = Callable[..., tuple[int, str, str]]
"""Runs a command: words in; exit code, standard output and standard error out."""


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of published data named by AOTD_TEST_DATA; tests that need it skip without it."""
    folder = os.environ.get("AOTD_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AOTD_TEST_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox for a file of tests; runs share nothing, which is part of what is tested."""
    with Sandbox(Limits(wall_seconds=20), workers=1) as made:
        yield made


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: for matrices as small as the tests' more only wait for one another."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def aotd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Aotd:
    """Run a command in this process; return exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["aotd", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else int(code is not None)), told.out, told.err

    return run
