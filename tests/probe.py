"""What an engine process must not be able to do, tried: ``export probe.py:probed``.

Importing it tries everything and ends with an exception that tells how it went, as the file
``probe.json`` beside it asks for. ``python probe.py`` prints the same of a process without a box.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "PROBED "
REFUSED = {"EPERM", "EACCES", "ENOENT", "ENOMEM", "EFBIG", "EAGAIN", "EXDEV", "EROFS"}
"""How the box answers. Without one, a call of nonsense is answered otherwise: EFAULT, EINVAL."""

HERE = Path(__file__).resolve().parent
_FACTS = HERE / "probe.json"
FACTS: dict[str, Any] = json.loads(_FACTS.read_text()) if _FACTS.exists() else {}

_libc = ctypes.CDLL(None, use_errno=True)
_Try = Callable[[], object]
TRIES: dict[str, tuple[str, _Try]] = {}
"""Each with the measure of the report that refuses it; an empty one for what has to work."""


def tried(measure: str) -> Callable[[_Try], _Try]:
    """Have it tried."""

    def kept(function: _Try) -> _Try:
        TRIES[function.__name__] = (measure, function)
        return function

    return kept


def call(number: int, *arguments: int) -> int:
    """A system call; OSError if it is refused."""
    result: int = _libc.syscall(number, *(ctypes.c_long(value) for value in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# What has to work


@tried("")
def ok_temporary_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100_000)


@tried("")
def ok_folder_with_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a").write_text("a")
        Path(folder, "a").rename(Path(folder, "b"))
        Path(folder, "link").symlink_to("b")


@tried("")
def ok_threads() -> None:
    threads = [threading.Thread(target=len, args=("",)) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@tried("")
def ok_pair_of_sockets() -> None:
    for end in socket.socketpair():
        end.close()


@tried("")
def ok_signal_to_itself() -> None:
    earlier = signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, earlier)


@tried("")
def ok_dev_null() -> None:
    Path(os.devnull).write_text("gone")


@tried("")
def ok_memory_of_its_own() -> None:
    mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


# Secrets


@tried("environment")
def token_in_environment() -> None:
    if not any("secret" in value for value in os.environ.values()):
        raise PermissionError(errno.ENOENT, "none")


@tried("environment")
def runner_in_environment() -> None:
    if not any(
        name.startswith(("GITHUB_", "ACTIONS_", "INPUT_", "RUNNER_")) for name in os.environ
    ):
        raise PermissionError(errno.ENOENT, "none")


@tried("secrets of the parent")
def environment_of_parent() -> None:
    Path(f"/proc/{os.getppid()}/environ").read_bytes()


@tried("secrets of the parent")
def memory_of_parent() -> None:
    Path(f"/proc/{os.getppid()}/mem").open("rb").close()


@tried("secrets of the parent")
def files_of_parent() -> None:
    os.readlink(f"/proc/{os.getppid()}/fd/0")


@tried("read-only files")
def token_of_the_checkout() -> None:
    (HERE / ".git/config").read_bytes()


@tried("")
def ok_what_is_beside_it() -> None:
    (HERE / "kept").read_bytes()
    os.listdir(HERE)


@tried("own user")
def file_closed_to_others() -> None:
    Path(FACTS["closed"]).read_bytes()


# The network


@tried("no network")
def tcp_to_loopback() -> None:
    with socket.create_connection(("127.0.0.1", FACTS["port"]), 2):
        pass


@tried("no network")
def tcp_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        pass


@tried("no network")
def udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", FACTS["port"]))


@tried("no network")
def ipv6() -> None:
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()


@tried("no network")
def netlink() -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()


@tried("no network")
def unix_socket_of_the_machine() -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(FACTS["socket"])


@tried("no network")
def io_uring() -> None:
    call(425, 1, 0)


# Files


@tried("read-only files")
def new_file_in_workspace() -> None:
    (HERE / "new").write_text("new")


@tried("read-only files")
def earlier_output_overwritten() -> None:
    (HERE / "out.mge").write_text("altered")


@tried("read-only files")
def earlier_output_cut_off() -> None:
    os.truncate(HERE / "out.mge", 0)


@tried("read-only files")
def earlier_output_removed() -> None:
    (HERE / "out.mge").unlink()


@tried("read-only files")
def own_code_altered() -> None:
    with Path(__file__).open("a"):
        pass


@tried("read-only files")
def folder_in_workspace() -> None:
    (HERE / "folder").mkdir()


@tried("read-only files")
def link_in_workspace() -> None:
    (HERE / "link").symlink_to("/etc")


@tried("read-only files")
def hard_link_into_scratch() -> None:
    os.link(HERE / "kept", Path(tempfile.gettempdir(), "kept"))


@tried("read-only files")
def mode_of_a_file() -> None:
    (HERE / "kept").chmod(0o777)


@tried("read-only files")
def times_of_a_file() -> None:
    os.utime(HERE / "kept", (0, 0))


@tried("read-only files")
def file_renamed() -> None:
    (HERE / "kept").rename(HERE / "other")


@tried("read-only files")
def file_in_home() -> None:
    (Path(FACTS["home"]) / "from-probe").write_text("x")


@tried("read-only files")
def file_in_tmp() -> None:
    Path(FACTS["tmp"], f"megdump-probe-{os.getpid()}").write_text("x")


@tried("read-only files")
def file_in_shared_memory() -> None:
    path = Path(f"/dev/shm/megdump-probe-{os.getpid()}")
    path.write_text("x")
    path.unlink()


@tried("read-only files")
def setting_of_the_kernel() -> None:
    with Path("/proc/sys/kernel/core_pattern").open("r+b"):
        pass


@tried("read-only files")
def logs_of_the_run() -> None:
    # The folder of a process without a box has no run around it.
    folder = Path(tempfile.gettempdir()).parent
    Path(folder, "exporting.log").unlink(missing_ok=folder == Path("/"))


# Other processes


@tried("no other processes")
def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@tried("no other processes")
def program() -> None:
    subprocess.run(["/bin/true"], check=True)


@tried("no other processes")
def program_that_is_another_user() -> None:
    subprocess.run([FACTS["setuid"], "--help"], check=True, capture_output=True)


@tried("no other processes")
def program_in_its_place() -> None:
    # An empty program: nothing is run if this is not refused.
    path = Path(tempfile.gettempdir(), "empty")
    path.touch(0o755)
    try:
        os.execv(path, ["empty"])
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise


@tried("no other processes")
def pool_of_workers() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        pool.apply(len, ("",))


@tried("no other processes")
def signal_to_parent() -> None:
    os.kill(os.getppid(), 0)


@tried("no other processes")
def signal_to_another() -> None:
    os.kill(FACTS["process"], 0)


@tried("no other processes")
def signal_to_all() -> None:
    os.kill(-1, 0)


@tried("no other processes")
def trace_of_another() -> None:
    PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
    call(101, PTRACE_SEIZE, FACTS["process"], 0, 0)
    # Without a box it is let go again, if it stopped by now.
    _libc.ptrace(PTRACE_DETACH, FACTS["process"], 0, 0)


@tried("no other processes")
def memory_of_another() -> None:
    # Nothing is read: no ranges are given.
    call(310, FACTS["process"], 0, 0, 0, 0, 0)
    Path(f"/proc/{FACTS['process']}/mem").open("rb").close()


@tried("no other processes")
def handle_of_another() -> None:
    os.close(os.pidfd_open(FACTS["process"]))


@tried("no other processes")
def priority_of_its_end() -> None:
    # Not to be killed with its parent.
    if _libc.prctl(1, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "refused")


# Power


@tried("no privileges")
def user_root() -> None:
    os.setresuid(0, 0, 0)
    # Who is root by number may have no power.
    with Path("/proc/self/status").open() as status:
        powers = next(line for line in status if line.startswith("CapEff:")).split()[1]
    if int(powers, 16) == 0:
        raise PermissionError(errno.EPERM, "no capabilities")


@tried("no privileges")
def group_root() -> None:
    os.setgroups([0])


@tried("no other processes")
def namespaces() -> None:
    CLONE_NEWUSER = 0x10000000
    call(272, CLONE_NEWUSER)


@tried("no other processes")
def mount() -> None:
    call(165, 0, 0, 0, 0, 0)


@tried("no other processes")
def bpf() -> None:
    call(321, 0, 0, 0)


@tried("no other processes")
def keys() -> None:
    call(250, 0, -3, 0)


@tried("no other processes")
def clock() -> None:
    call(227, 0, 0)


# Limits


@tried("memory")
def memory_beyond_limit() -> None:
    mmap.mmap(-1, FACTS["memory"] + 1, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


@tried("no other processes")
def memory_that_is_not_counted() -> None:
    mmap.mmap(-1, 1 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS).close()


@tried("no other processes")
def memory_that_is_a_file() -> None:
    os.close(os.memfd_create("probe"))


@tried("file size")
def file_beyond_limit() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    # Without one, so much as the largest of these file systems does not hold either.
    size = 1 << 30 if limit == resource.RLIM_INFINITY else limit + 1
    with tempfile.NamedTemporaryFile() as file:
        os.truncate(file.fileno(), size)


@tried("memory")
def limits_raised() -> None:
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            try:
                resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            except ValueError as error:
                raise PermissionError(errno.EPERM, str(error)) from None


@tried("memory")
def core_file() -> None:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise PermissionError(errno.EPERM, "no core files")


@tried("processor time")
def processor_time_without_limit() -> None:
    if resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY:
        raise PermissionError(errno.EPERM, "there is a limit")


@tried("threads")
def many_threads() -> None:
    """More at a time than a machine has; the ones that wait end with the gate."""
    if os.getuid() == 0:
        # The kernel does not count root's.
        return
    gate = threading.Event()
    threading.stack_size(64 << 10)
    started = []
    try:
        for _ in range(3000):
            started.append(threading.Thread(target=gate.wait))
            started[-1].start()
    except RuntimeError as error:
        raise PermissionError(errno.EAGAIN, str(error)) from None
    finally:
        gate.set()
        for thread in started:
            if thread.ident is not None:
                thread.join()


def found() -> dict[str, str]:
    """Of each try: empty if it was done, or the name of the error."""
    answers = {}
    for name in TRIES:
        try:
            TRIES[name][1]()
            answers[name] = ""
        except OSError as error:
            answers[name] = errno.errorcode.get(error.errno or 0, repr(error))
        except MemoryError:
            answers[name] = "ENOMEM"
        except subprocess.CalledProcessError as error:
            answers[name] = f"status {error.returncode}"
    return answers


def told() -> str:
    """The measure and the answer of each try."""
    answers = found()
    return MARK + json.dumps({name: (TRIES[name][0], answers[name]) for name in TRIES})


if __name__ == "__main__":
    sys.stdout.write(told())
elif FACTS:
    raise ValueError(told())
