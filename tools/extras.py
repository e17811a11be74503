"""Packages that only some models need: what is missing is told with the command that installs it.

Looks for packages without importing them.
"""

from __future__ import annotations

import importlib.util

__all__ = ["need_packages"]


def need_packages(what: str, extra: str, *modules: str) -> None:
    """See that packages are installed.

    Parameters
    ----------
    what
        What needs them, as the error begins.
    extra
        The extra of ours that installs them.
    modules
        Their import names.

    Raises
    ------
    ModuleNotFoundError
        In one line, with the command.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ModuleNotFoundError(f"{what} needs {' and '.join(missing)}: pip install 'aotd[{extra}]'")
