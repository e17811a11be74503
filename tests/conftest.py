"""Shared fixtures: where the real data lies, when it is there, and a sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aotd.agent.sandbox.host import Limits, Sandbox


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
