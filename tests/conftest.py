"""Shared fixtures: where the real data lies, when it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of published data named by AOTD_TEST_DATA; tests that need it skip without it."""
    folder = os.environ.get("AOTD_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AOTD_TEST_DATA names no folder of real data")
    return Path(folder)
