"""Entry file of the zygote: `python -P -s -S -B start.py <folder of RestrictedPython> <folder of jail>`.

Puts the two folders on the path for as long as the imports last, then takes them off again.
"""

from __future__ import annotations

import importlib
import os
import sys


def main() -> None:
    """Import everything that a child needs and take jobs."""
    folders = sys.argv[1:]
    sys.path += folders  # behind the standard library: nothing in them may stand in for a part of it
    try:
        zygote = importlib.import_module("jail.zygote")
    except BaseException as error:
        os.write(0, f"{type(error).__name__}: {error}\n".encode())
        raise
    del sys.path[-len(folders) :]
    sys.path_importer_cache.clear()
    zygote.serve()


if __name__ == "__main__":
    main()
