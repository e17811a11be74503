"""A browser for the tests of pages, which are asked for by `make test-pages` and skip otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.pages.chromium import Browser, find_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    if not os.environ.get("AOTD_TEST_PAGES"):
        pytest.skip("browser tests are opt-in: make test-pages")
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: apt install chromium")
    with Browser(program) as started:
        yield started
