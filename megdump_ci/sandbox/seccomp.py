"""System calls that an engine process has no use for, refused by a seccomp filter.

The filter is a program of classic BPF (``seccomp(2)``, ``linux/filter.h``) that is run at each
system call. It answers with EPERM, so that a library which can do without goes on. It lets all
pass that it does not name: what an engine, its threads and the C library need changes with their
versions, and a call that they miss would be a crash that nobody understands.

For x86-64, where MegEngine is; elsewhere there is no filter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Sequence

from megdump_ci.sandbox import system

_SECCOMP = 317
_SET_MODE_FILTER = 1
_SPEC_ALLOW = 4
"""Without it, kernels before 5.16 switch the processor's speculation off for the whole process."""

_ARCH_X86_64 = 0xC000003E
_X32 = 0x40000000
"""Numbers from here on are calls of another ABI, which the table does not know."""

# Offsets in struct seccomp_data; the low halves of arguments, which are all that is looked at.
_NUMBER, _ARCH = 0, 4
_ARGUMENTS = 16

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_OF = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL = 0x80000000

_CLONE_THREAD = 0x10000
_MAP_PRIVATE, _MAP_ANONYMOUS = 0x02, 0x20
_F_SETOWN, _F_SETOWN_EX = 8, 15
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902

# Numbers: arch/x86/entry/syscalls/syscall_64.tbl of Linux.
CALLS = {
    "socket": 41,
    # Rings of requests, among them those that make a socket.
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    # Other processes: to make them, to become them.
    "fork": 57,
    "vfork": 58,
    "execve": 59,
    "execveat": 322,
    # To look into them, to send them something.
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "process_madvise": 440,
    "process_mrelease": 448,
    "kcmp": 312,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "pidfd_send_signal": 424,
    "tkill": 200,
    "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297,
    "migrate_pages": 256,
    "move_pages": 279,
    # Memory that is not counted, and messages; some of it outlives the process.
    "memfd_create": 319,
    "memfd_secret": 447,
    "shmget": 29,
    "shmat": 30,
    "semget": 64,
    "msgget": 68,
    "mq_open": 240,
    # File systems, namespaces and files by handles.
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "unshare": 272,
    "setns": 308,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "fanotify_init": 300,
    "quotactl": 179,
    "quotactl_fd": 443,
    # The kernel itself, and parts of it that have had many faults.
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "add_key": 248,
    "request_key": 249,
    "keyctl": 250,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "syslog": 103,
    "acct": 163,
    "swapon": 167,
    "swapoff": 168,
    "reboot": 169,
    "sethostname": 170,
    "setdomainname": 171,
    "settimeofday": 164,
    "clock_settime": 227,
    "clock_adjtime": 305,
    "adjtimex": 159,
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "personality": 135,
    "vhangup": 153,
    "lookup_dcookie": 212,
}
"""Refused whatever their arguments are."""

METADATA = {
    "chmod": 90,
    "fchmod": 91,
    "fchmodat": 268,
    "fchmodat2": 452,
    "chown": 92,
    "fchown": 93,
    "lchown": 94,
    "fchownat": 260,
    "utime": 132,
    "utimes": 235,
    "futimesat": 261,
    "utimensat": 280,
    "setxattr": 188,
    "lsetxattr": 189,
    "fsetxattr": 190,
    "setxattrat": 463,
    "removexattr": 197,
    "lremovexattr": 198,
    "fremovexattr": 199,
    "removexattrat": 466,
    "file_setattr": 469,
}
"""What Landlock does not hold, and the owner of a file may do; refused to one who owns others."""

_CLONE3 = 435
_SOCKETPAIR, _CLONE, _KILL_CALL, _TGKILL, _PRLIMIT64 = 53, 56, 62, 234, 302
_MMAP, _IOCTL, _FCNTL, _PRCTL = 9, 16, 72, 157

_Instruction = tuple[int, int, int, int]
"""Code, how many to jump over if true and if false, and a value."""
_ALLOWED: _Instruction = (_RETURN, 0, 0, _ALLOW)


def program(pid: int, *, metadata: bool) -> bytes:
    """The filter for the process ``pid``, as an array of ``struct sock_filter``.

    Its threads may signal each other and nobody else. With ``metadata``, it may change the modes,
    owners and times of files.
    """
    refused = [*CALLS.values(), *(() if metadata else METADATA.values())]
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _ARCH_X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        _refuse(),
    ]
    for number in refused:
        code += _when(number, [_refuse()])
    # glibc then takes clone, whose flags can be seen.
    code += _when(_CLONE3, [_refuse(errno.ENOSYS)])
    code += _when(_CLONE, _unless(0, _ANY_OF, [_CLONE_THREAD]))
    code += _when(_SOCKETPAIR, _unless(0, _EQUAL, [int(socket.AF_UNIX)]))
    code += _when(_KILL_CALL, _unless(0, _EQUAL, [pid]))
    code += _when(_TGKILL, _unless(0, _EQUAL, [pid]))
    code += _when(_PRLIMIT64, _unless(0, _EQUAL, [0, pid]))
    # What belongs to no file and is shared counts for no limit.
    code += _when(
        _MMAP,
        [
            _argument(3),
            (_ANY_OF, 0, 2, _MAP_ANONYMOUS),
            (_ANY_OF, 1, 0, _MAP_PRIVATE),
            _refuse(),
            _ALLOWED,
        ],
    )
    # Not to be killed when its parent dies, input for a terminal, signals by way of a file.
    code += _when(_PRCTL, _if(0, [system.PR_SET_PDEATHSIG]))
    code += _when(_IOCTL, _if(1, [_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP]))
    code += _when(_FCNTL, _if(1, [_F_SETOWN, _F_SETOWN_EX]))
    code.append(_ALLOWED)
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def enter(*, metadata: bool) -> None:
    """Put the filter on this process, which has one thread; :class:`OSError` if it cannot be had.

    New privileges have to be ruled out before.
    """
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"the filter is for x86-64, this is {platform.machine()}")
    code = program(os.getpid(), metadata=metadata)
    buffer = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog
    fields = struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    try:
        system.syscall(_SECCOMP, _SET_MODE_FILTER, _SPEC_ALLOW, fields)
    except OSError as error:
        # A kernel before 4.17 does not know the flag.
        if error.errno != errno.EINVAL:
            raise
        system.syscall(_SECCOMP, _SET_MODE_FILTER, 0, fields)


def _refuse(number: int = errno.EPERM) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _when(number: int, then: Sequence[_Instruction]) -> list[_Instruction]:
    """``then`` for the call ``number``, which has to end the program; or go on behind it."""
    return [(_EQUAL, 0, len(then), number), *then]


def _argument(place: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * place)


def _unless(place: int, test: int, values: Iterable[int]) -> list[_Instruction]:
    """Allow if an argument passes the test with one of the values, or else refuse."""
    code = [_argument(place)]
    for value in values:
        code += [(test, 0, 1, value), _ALLOWED]
    return [*code, _refuse()]


def _if(place: int, values: Iterable[int]) -> list[_Instruction]:
    """Refuse if an argument is one of the values, or else allow."""
    code = [_argument(place)]
    for value in values:
        code += [(_EQUAL, 0, 1, value), _refuse()]
    return [*code, _ALLOWED]
