"""The package as it is installed: nothing forgotten in the wheel, nothing heavy at import."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"agent", "benchmarks", "cli", "prompts", "tools", "traces", "world", "zoo"}


def test_the_wheel_holds_every_module_prompt_and_preset(tmp_path: Path) -> None:
    """Every committed Python file, template, preset and weight of a package is in the wheel; no test is."""
    source = tmp_path / "source"
    cloned = subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], capture_output=True)
    if cloned.returncode:
        pytest.skip("not a git checkout, so what belongs to the package is not known")
    listed = subprocess.run(
        ["git", "-C", str(source), "ls-files"], capture_output=True, text=True, check=True
    )
    files = [Path(name) for name in listed.stdout.splitlines()]
    kinds = {".py", ".j2", ".txt", ".yaml", ".css", ".js"}
    ours = [p for p in files if p.parts[0] in PACKAGES]
    wanted = {f"aotd/{p}" for p in ours if p.suffix in kinds or p.parts[:2] == ("tools", "weights")}
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    build = [sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", str(tmp_path), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("aotd/")} == wanted


def test_the_version_is_that_of_the_changelog() -> None:
    """The newest entry of the changelog is for the version that the package has."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    entries = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## [")]
    assert entries[0].startswith(f"## [{version}]")


def test_the_command_line_loads_nothing_heavy() -> None:
    """Starting the command loads no model library, no language-model client and no graph library."""
    heavy = ("torch", "transformers", "openai", "networkx", "pyarrow", "decord")
    code = f"import sys, aotd.cli.main; print([m for m in {heavy} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
