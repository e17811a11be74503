"""What hostile programs must not reach: a folder with a canary, a port, and another process.

Each tells afterwards whether it is still as it was. Nothing here runs a program or judges one.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Place", "Port", "Victim"]

_VICTIM: Final = """
import ctypes, os, sys, time
secret = ctypes.create_string_buffer(sys.stdin.readline().strip().encode())
if len(sys.argv) > 1:
    os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as open to its own user as any process is
print(ctypes.addressof(secret), flush=True)
time.sleep(600)
"""


class Place:
    """A folder with a canary file, and a bait that must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.canary = "canary-" + secrets.token_hex(16)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        (folder / "canary").write_text(self.canary)
        self.renew()

    def renew(self) -> None:
        """Put the bait back and take everything else away."""
        for path in self.folder.iterdir():
            if path.name != "canary":
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        bait = self.folder / "bait"
        bait.write_text("bait")
        bait.chmod(0o666)

    def places(self) -> dict[str, str]:
        """Give what programs may be told."""
        return {
            "FILE": str(self.folder / "canary"),
            "BAIT": str(self.folder / "bait"),
            "EFFECT": str(self.folder / "effect"),
        }

    def changed(self) -> list[str]:
        """Name what is not as it was, and renew the folder if anything is not."""
        bait = self.folder / "bait"
        found = [f"made {p.name}" for p in self.folder.iterdir() if p.name not in ("canary", "bait")]
        if not bait.exists() or bait.read_text() != "bait" or bait.stat().st_mode & 0o777 != 0o666:
            found.append("changed the bait")
        if found:
            self.renew()
        return found


class Port:
    """A port on this machine that counts who calls."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.number: int = self._socket.getsockname()[1]
        self.seen = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                self.seen += 1
                line.close()

    def take(self) -> int:
        """Give how many called since the last time."""
        seen, self.seen = self.seen, 0
        return seen

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Victim:
    """A process of the children's user, with a canary in its memory and one in its environment."""

    def __init__(self, uid: int | None) -> None:
        self.canaries = ("memory-" + secrets.token_hex(16), "environment-" + secrets.token_hex(16))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, *([] if uid is None else [str(uid)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"AOTD_CANARY": self.canaries[1]},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(self.canaries[0] + "\n")
        self.process.stdin.flush()
        self.address = int(self.process.stdout.readline())

    def changed(self) -> list[str]:
        """Tell whether something was done to it."""
        if self.process.poll() is not None:
            return ["ended another process"]
        nice = os.getpriority(os.PRIO_PROCESS, self.process.pid)
        limits = Path(f"/proc/{self.process.pid}/limits").read_text()
        tracer = "TracerPid:\t0" not in Path(f"/proc/{self.process.pid}/status").read_text()
        told = ["changed another process's priority"] * (nice != os.getpriority(os.PRIO_PROCESS, 0))
        told += ["traced another process"] * tracer
        return told + ["changed another process's limits"] * ("4242" in limits)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()
