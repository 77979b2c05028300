"""The filter of system calls, run by an interpreter of its few instructions."""

from __future__ import annotations

import errno
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from megdump_ci.sandbox import seccomp

PID = 4711
X86_64 = 0xC000003E
ALLOW, KILL = "allow", "kill"

# System calls whose arguments decide (arch/x86/entry/syscalls/syscall_64.tbl).
MMAP, IOCTL, SOCKETPAIR, CLONE, EXIT, KILL_CALL = 9, 16, 53, 56, 60, 62
FCNTL, PRCTL, TGKILL, PRLIMIT64, CLONE3 = 72, 157, 234, 302, 435
JUDGED = [MMAP, IOCTL, SOCKETPAIR, CLONE, KILL_CALL, FCNTL, PRCTL, TGKILL, PRLIMIT64, CLONE3]

numbers = st.sampled_from([*seccomp.CALLS.values(), *seccomp.METADATA.values(), *JUDGED])
words = st.sampled_from([0, 1, 2, 3, 8, 15, 16, 0x10000, 0x20, 0x21, 0x22, 0x5412, PID, -1])
arguments = st.lists(words | st.integers(-(2**63), 2**63 - 1), min_size=6, max_size=6)


def answer(program: bytes, arch: int, number: int, values: list[int]) -> str | int:
    """What the kernel would do: allow, kill, or answer with an error number."""
    wide = [value % 2**64 for value in values]
    data = struct.pack("<iIQ6Q", number - (number >> 31 << 32), arch, 0, *wide)
    code = list(struct.iter_unpack("<HBBI", program))
    place = loaded = 0
    while True:
        operation, yes, no, value = code[place]
        place += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            kind, number = value & 0xFFFF0000, value & 0xFFFF
            return {0x7FFF0000: ALLOW, 0x80000000: KILL, 0x00050000: number}[kind]
        else:
            met = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}
            place += yes if met[operation] else no


def expected(number: int, values: list[int], *, metadata: bool) -> str | int:
    """The same, as the module's text has it."""
    first, second, flags = (value % 2**32 for value in (values[0], values[1], values[3]))
    allowed = {
        MMAP: not flags & 0x20 or bool(flags & 0x02),
        IOCTL: second not in (0x5412, 0x541C, 0x8901, 0x8902),
        SOCKETPAIR: first == 1,
        CLONE: bool(first & 0x10000),
        KILL_CALL: first == PID,
        TGKILL: first == PID,
        FCNTL: second not in (8, 15),
        PRCTL: first != 1,
        PRLIMIT64: first in (0, PID),
    }
    if number == CLONE3:
        return errno.ENOSYS
    refused = number in seccomp.CALLS.values() or not allowed.get(number, True)
    refused |= number in seccomp.METADATA.values() and not metadata
    return errno.EPERM if refused or number >= 0x40000000 else ALLOW


@given(number=numbers | st.integers(0, 2**32 - 1), values=arguments, metadata=st.booleans())
@example(number=EXIT, values=[0] * 6, metadata=False)
@example(number=0x40000000 + EXIT, values=[0] * 6, metadata=True)
def test_every_call_is_answered_as_the_table_has_it(
    number: int, values: list[int], metadata: bool
) -> None:
    program = seccomp.program(PID, metadata=metadata)
    assert answer(program, X86_64, number, values) == expected(number, values, metadata=metadata)


@given(arch=st.integers(0, 2**32 - 1), number=numbers)
def test_a_call_of_another_architecture_ends_the_process(arch: int, number: int) -> None:
    program = seccomp.program(PID, metadata=True)
    if arch != X86_64:
        assert answer(program, arch, number, [0] * 6) == KILL


def test_it_is_a_program_that_the_kernel_takes() -> None:
    program = seccomp.program(PID, metadata=False)
    # BPF_MAXINSNS
    assert len(program) // 8 <= 4096
    listed = [*seccomp.CALLS.values(), *seccomp.METADATA.values(), *JUDGED]
    assert len(listed) == len(set(listed))


SCRIPT = """
import os, socket, threading
from megdump_ci.sandbox import seccomp, system
system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
seccomp.enter(metadata=False)
thread = threading.Thread(target=print, args=("a thread",))
thread.start()
thread.join()
for name, call in {
    "socket": socket.socket,
    "fork": os.fork,
    "signal": lambda: os.kill(os.getppid(), 0),
    "mode": lambda: os.chmod(".", 0o700),
}.items():
    try:
        call()
    except PermissionError:
        print(name, "refused")
"""


def test_the_kernel_does_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(seccomp.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "a thread",
        *(f"{name} refused" for name in ("socket", "fork", "signal", "mode")),
    ], done.stderr


def test_another_processor_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(OSError, match="this is aarch64"):
        seccomp.enter(metadata=True)
