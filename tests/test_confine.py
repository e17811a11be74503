"""What the operating system lets a confined child do when the language is no obstacle at all.

Deeds here are full Python and raw system calls, tried in children of a clean process under the same layers
that programs run under. The kernel's answer is the truth that is tested against.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.agent.sandbox.jail import kernel, seccomp
from aotd.agent.sandbox.jail.confine import LAYERS

if sys.platform != "linux" or os.uname().machine not in seccomp.TABLES:
    pytest.skip("the walls that are tested here are those of Linux", allow_module_level=True)

MACHINE = os.uname().machine
JAIL = Path(seccomp.__file__).parent
KILLED, DONE = ("signal", 31), ("done", 0)
REFUSED, NO_EXECUTION, NO_MEMORY = ("errno", 1), ("errno", 13), ("errno", 12)

DRIVER = """
import ctypes, fcntl, json, mmap, os, sys, time
sys.path.append(sys.argv[1])
from jail import confine
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.mmap.restype = ctypes.c_void_p
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

def syscall(number, *args):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args))
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result

def stub(code):
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page))), page

steps = confine.prepare(json.loads(sys.argv[2]))
bounds = confine.Bounds(cpu_seconds=2, memory_bytes=256 << 20, parent=os.getpid())
scope = dict(globals())
if os.uname().machine == "x86_64":  # mov eax, 20; int 0x80; ret
    scope["i386"] = stub(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")
usable = {}
for name, step in steps.items():
    pid = os.fork()
    if pid == 0:
        try:
            for earlier in [*usable.values(), step]:
                earlier(bounds)
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1] == 0:
        usable[name] = step
told = {}
for title, deed in json.loads(sys.stdin.read()).items():
    code = compile(deed, title, "exec")
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            confine.confine(usable, bounds)
            os.write(sink, b"confined ")
            try:
                exec(code, scope)
                os.write(sink, b"done 0")
            except MemoryError:
                os.write(sink, b"errno 12")
            except OSError as error:
                os.write(sink, b"errno %d" % error.errno)
        finally:
            os._exit(1)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        words = stream.read().decode().split()
    status = os.waitpid(pid, 0)[1]
    assert words and words[0] == "confined", (title, words, status)
    told[title] = (words[1], int(words[2])) if words[1:] else ("signal", os.WTERMSIG(status))
print(json.dumps({"layers": list(usable), "told": told}))
"""


def try_deeds(layers: list[str], deeds: dict[str, str]) -> tuple[list[str], dict[str, tuple[str, int]]]:
    """Try deeds in children under layers; give the layers that held and what came of each deed."""
    command = [sys.executable, "-P", "-s", "-S", "-B", "-c", DRIVER, str(JAIL.parent), json.dumps(layers)]
    done = subprocess.run(command, input=json.dumps(deeds), capture_output=True, text=True, env={}, cwd="/")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["layers"], {title: tuple(end) for title, end in found["told"].items()}


# By machine. Source: asm/unistd_64.h and asm-generic/unistd.h.
FORBIDDEN = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "clone": (56, 220),
    "fork": (57, None),
    "vfork": (58, None),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_setup": (206, 0),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "chdir": (80, 49),
    "prctl": (157, 167),
    "personality": (135, 92),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setuid": (105, 146),
    "capset": (126, 91),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "setitimer": (38, 103),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "pkey_mprotect": (329, 288),
    "remap_file_pages": (216, 234),
    "pipe2": (293, 59),
    "dup": (32, 23),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "inotify_init1": (294, 26),
    "unlinkat": (263, 35),
    "mkdirat": (258, 34),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "renameat2": (316, 276),
    "truncate": (76, 45),
    "fchmodat": (268, 53),
    "fchownat": (260, 54),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "swapon": (167, 224),
    "settimeofday": (164, 170),
    "sethostname": (170, 161),
    "acct": (163, 89),
    "no such call": (999, 999),
}
NUMBERS = {
    name: numbers[list(seccomp.TABLES).index(MACHINE)]
    for name, numbers in FORBIDDEN.items()
    if numbers[list(seccomp.TABLES).index(MACHINE)] is not None
}
FILES = {
    "open": "os.open('/', os.O_RDONLY)",
    "open for writing": "open('/tmp/aotd-was-here', 'w')",
    "open a process's memory": "open('/proc/self/mem', 'rb')",
    "stat": "os.stat('/')",
    "lstat": "os.lstat('/')",
    "faccessat": f"syscall({seccomp.TABLES[MACHINE].refused['faccessat']}, -100, 0, 0)",
    "readlink": "os.readlink('/proc/self/exe')",
    "getcwd": "os.getcwd()",
    "listdir": "os.listdir('/')",
    "fcntl": "fcntl.fcntl(1, fcntl.F_GETFD)",
}
MEMORY = {
    "map memory to write and execute": "mmap.mmap(-1, 4096, prot=7)",
    "map memory to execute": "mmap.mmap(-1, 4096, prot=5)",
    "make memory executable": (
        "page = mmap.mmap(-1, 4096)\n"
        "place = ctypes.addressof(ctypes.c_char.from_buffer(page))\n"
        "if libc.mprotect(place, 4096, 5): raise OSError(ctypes.get_errno(), '')"
    ),
}
ORDINARY = {
    "compute": "sum(range(1000))",
    "take memory": "bytearray(50 << 20)",
    "read the clock": "time.time(), time.monotonic(), time.process_time()",
    "sleep": "time.sleep(0.001)",
    "write to the null device": "os.write(1, b'')",
    "have memory and give it back": "mmap.mmap(-1, 1 << 20).close()",
    "fail to import": "try:\n    import xml.dom.minidom\nexcept ImportError:\n    pass",
}


ENDS = {
    **dict.fromkeys(NUMBERS, KILLED),
    **dict.fromkeys(FILES, REFUSED),
    **dict.fromkeys(MEMORY, NO_EXECUTION),
    **dict.fromkeys(ORDINARY, DONE),
    "take too much memory": NO_MEMORY,
}
DEEDS = {
    **{name: f"syscall({number}, -1, 0, 0, 0, 0)" for name, number in NUMBERS.items()},
    **FILES,
    **MEMORY,
    **ORDINARY,
    "take too much memory": "bytearray(300 << 20)",
}


@pytest.fixture(scope="module")
def native() -> dict[str, tuple[str, int]]:
    """What came of all deeds under all layers."""
    return try_deeds(list(LAYERS), DEEDS)[1]


@pytest.mark.parametrize("deed", ENDS)
def test_the_system_stops_what_a_child_has_no_need_of(native: dict[str, tuple[str, int]], deed: str) -> None:
    """Calls beyond the process end it, files and executable memory are refused, the ordinary works."""
    assert native[deed] == ENDS[deed]


@pytest.mark.skipif(MACHINE != "x86_64", reason="only x86-64 has two other sets of numbers")
def test_calls_in_other_numbers_end_the_child() -> None:
    """A call in i386's or x32's numbers never passes, whatever it would be."""
    deeds = {"i386": "i386[0]()", "x32": "syscall(0x40000000 + 39)"}
    _, ends = try_deeds(list(LAYERS), deeds)
    assert ends["x32"] == KILLED
    assert ends["i386"] in (KILLED, ("signal", 11))  # the latter where the kernel has no such calls at all
    assert try_deeds(["no-new-privileges"], deeds)[1]["i386"] in (DONE, ("signal", 11))


@pytest.mark.parametrize("without", ["landlock", "limit-open-files", "limit-processes", "no-capabilities"])
def test_the_filter_alone_stops_all_but_memory(without: str) -> None:
    """Taking any other wall away changes nothing for the deeds above."""
    layers, ends = try_deeds([name for name in LAYERS if name != without], DEEDS)
    assert without not in layers
    assert ends == ENDS


def test_without_the_filter_the_other_layers_stop_some() -> None:
    """Without it a child opens no file and starts no program, but gets memory that can be executed."""
    deeds = {
        "open": FILES["open"],
        "socket": "import socket; socket.socket(socket.AF_UNIX)",
        "map": MEMORY["map memory to write and execute"],
        "execve": f"os.execv({sys.executable!r}, ['python', '-c', ''])",
    }
    layers, ends = try_deeds([name for name in LAYERS if name != "seccomp"], deeds)
    assert ends["open"][0] == "errno"
    assert ends["socket"] == ("errno", 24)  # no descriptors
    assert ends["map"] == DONE
    assert "landlock" not in layers or ends["execve"] == ("errno", 13)


def test_landlock_alone_keeps_from_files_connections_and_other_processes() -> None:
    """Each is refused from the version of Landlock on that knows it."""
    try:
        version = kernel.syscall(444, 0, 0, 1)
    except OSError as error:
        pytest.skip(f"Landlock: {error.strerror}")
    deeds = {
        "open": FILES["open"],
        "connect": "import socket; socket.socket().connect(('127.0.0.1', 9))",
        "signal": "os.kill(os.getppid(), 0)",
    }
    layers, ends = try_deeds(["no-new-privileges", "landlock"], deeds)
    assert layers == ["no-new-privileges", "landlock"]
    assert ends["open"] == ("errno", 13)
    assert version < 4 or ends["connect"] == ("errno", 13)
    assert version < 6 or ends["signal"] == ("errno", 1)


# The filter itself, for both machines, by an interpreter of its instructions.


def decide(table: seccomp.Table, number: int, args: tuple[int, ...] = (), architecture: int = -1) -> int:
    """Run the filter on a call and give its verdict (linux/filter.h, struct seccomp_data)."""
    words = [number, table.architecture if architecture == -1 else architecture, 0, 0]
    for value in (*args, *[0] * (6 - len(args))):
        words += [value & 0xFFFFFFFF, value >> 32]
    steps, at, loaded = seccomp.instructions(table), 0, 0
    while True:
        step = steps[at]
        at += 1
        if step.code == 0x20:
            loaded = words[step.value // 4]
        elif step.code == 0x06:
            return step.value
        else:
            holds = {0x15: loaded == step.value, 0x35: loaded >= step.value, 0x45: bool(loaded & step.value)}
            at += step.yes if holds[step.code] else step.no


ALLOW, KILL, EPERM, EACCES = 0x7FFF0000, 0x80000000, 0x00050001, 0x0005000D


@given(st.sampled_from(list(seccomp.TABLES)), st.integers(0, 2**32 - 1) | st.integers(0, 500))
def test_calls_that_no_table_names_end_the_process(machine: str, number: int) -> None:
    """Whatever is not listed is killed, and every call is killed in the numbers of another machine."""
    table = seccomp.TABLES[machine]
    named = {*table.allowed.values(), *table.refused.values(), *table.executable.values()}
    assert (decide(table, number) == KILL) == (number not in named)
    assert all(decide(table, number, architecture=other) == KILL for other in (0, 0x40000003, 0x40000028))


@pytest.mark.parametrize("machine", seccomp.TABLES)
def test_listed_calls_are_decided_as_listed(machine: str) -> None:
    """Allowed calls pass, refused ones fail, and memory passes unless it is to be executed."""
    table = seccomp.TABLES[machine]
    assert {decide(table, n) for n in table.allowed.values()} == {ALLOW}
    assert {decide(table, n) for n in table.refused.values()} == {EPERM}
    for number in table.executable.values():
        assert [decide(table, number, (0, 4096, prot)) for prot in range(8)] == [ALLOW] * 4 + [EACCES] * 4
    assert decide(table, table.prctl, (0x53564D41,)) == 0x00050016
    assert decide(table, table.prctl, (15,)) == KILL


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine: str, header: str) -> None:
    """Each name in a table has the number that the kernel's own header gives it."""
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    numbers = {name: int(number) for name, number in lines}
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))
    table = seccomp.TABLES[machine]
    named = {**table.allowed, **table.refused, **table.executable, "prctl": table.prctl}
    assert named == {name: numbers[name] for name in named}
