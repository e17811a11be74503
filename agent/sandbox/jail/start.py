"""Entry file of the zygote: `python -P -s -S -B start.py LAYERS MEMORY HOST FOLDER FOLDER`.

Layers are names with commas between them, memory is in MB and for the self-test, the host is a process id.
Puts the two folders, of RestrictedPython and of `jail`, on the path for as long as the imports last, then
takes them off again.
"""

from __future__ import annotations

import importlib
import os
import sys


def main() -> None:
    """Import everything that a child needs and take jobs."""
    layers, memory, host, *folders = sys.argv[1:]
    sys.path += folders  # behind the standard library: nothing in them may stand in for a part of it
    try:
        zygote = importlib.import_module("jail.zygote")
        steps, greeting = zygote.prepare(layers.split(","), int(memory), int(host))
    except BaseException as error:
        os.write(0, f"{type(error).__name__}: {error}\n".encode())
        raise
    del sys.path[-len(folders) :]
    sys.path_importer_cache.clear()
    zygote.serve(steps, greeting)


if __name__ == "__main__":
    main()
