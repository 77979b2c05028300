"""Fuzzing of the whole command: a process of its own for each altered file.

A case is made of its target's name and its seed alone.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import alter, files
from tests.fuzz.result import CRASH, EXIT, HANG, LEFT, Finding

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
TIMEOUT = 10
"""Seconds that a phase may take: ``--timeout``."""
MOST = 90
"""Seconds after which a run that goes on is a hang; it has several phases, and kernels to try."""
STATUSES = (0, 1, 2, 3)


SPECS = {
    "two_inputs": "alpha:#rand(0.5,2);zeta:#rand(-1,1)",
    "heads": "#rand(0,100)",
    "digits": "#rand(0,1)",
    "tokens": "#rand(0,64)",
}
"""Samples, and data that fits them."""
FORMATS = ("fbs", "fbs_v2")
TURN = 50
"""Seeds after which the next samples are altered. A short run then makes few files to alter."""


@dataclass(frozen=True)
class Sound:
    """Files that nothing is wrong with: a model, it with two testcases, and data for it."""

    model: Path
    packed: Path
    data: str


class Material:
    """What is altered: samples in both formats, packed when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._made: dict[tuple[str, str], Sound] = {}

    def pair(self, seed: int, choose: random.Random) -> tuple[Sound, Sound]:
        """Two of them, which may be one model in two formats."""
        names = list(SPECS)
        turn = seed // TURN
        near = [names[turn % len(names)], names[(turn + 1) % len(names)]]
        kinds = [(name, kind) for name in near for kind in FORMATS]
        with self._lock:
            first, second = choose.sample(kinds, 2)
            return self._get(*first), self._get(*second)

    def _get(self, name: str, kind: str) -> Sound:
        if (name, kind) not in self._made:
            self._folder.mkdir(exist_ok=True)
            found = Sound(
                self._folder / f"{name}.{kind}.mge",
                self._folder / f"{name}.{kind}.packed",
                SPECS[name],
            )
            words = ["pack", str(SAMPLES / f"{name}.mge"), "-d", found.data, "-d", found.data]
            words += ["-o", str(found.packed), "--deploy-output", str(found.model)]
            ended = started([*words, "--format", kind], self._folder)
            if ended.status != 0:
                raise RuntimeError(f"{words}: {ended.said}")
            self._made[name, kind] = found
        return self._made[name, kind]


@dataclass(frozen=True)
class Altered:
    """A case: the file, and the command."""

    content: bytes
    name: str
    words: tuple[str, ...]
    """``FILE`` stands for the file, ``OUT`` for what is written."""
    model: Path | None = None
    """What the outputs of a packed file that passes have to agree with."""


def model_case(seed: int, material: Material, choose: random.Random) -> Altered:
    """An altered model to pack."""
    sound, other = material.pair(seed, choose)
    content = alter.model(sound.model.read_bytes(), other.model.read_bytes(), choose)
    words = ("pack", "FILE", "-d", sound.data, "-o", "OUT", "--output-strip-info")
    extra = choose.choice(((), (), ("--optimize-for-inference",), ("--deploy-output", "DEPLOY")))
    return Altered(content, "model.mge", (*words, *extra))


def packed_case(seed: int, material: Material, choose: random.Random) -> Altered:
    """An altered packed file to verify."""
    sound, other = material.pair(seed, choose)
    content = alter.packing(sound.packed.read_bytes(), other.packed.read_bytes(), choose)
    words = ("verify", "FILE", "--model", str(sound.model))
    return Altered(content, "packed.mge", words, sound.model)


def diff_case(seed: int, material: Material, choose: random.Random) -> Altered:
    """An altered model, or packed file, to compare with the model that it was."""
    sound, other = material.pair(seed, choose)
    if choose.random() < 0.3:
        content = alter.packing(sound.packed.read_bytes(), other.packed.read_bytes(), choose)
    else:
        content = alter.model(sound.model.read_bytes(), other.model.read_bytes(), choose)
    words = ("diff", str(sound.model), "FILE", "-d", sound.data)
    return Altered(content, "model.mge", words)


def image_case(_seed: int, _material: Material, choose: random.Random) -> Altered:
    """An altered image to pack a model with."""
    whole = [path.read_bytes() for path in sorted((SAMPLES / "digits").glob("*.png"))]
    whole += [files.encoded(kind) for kind in files.KINDS]
    content = alter.data(choose.choice(whole), choose.choice(whole), choose)
    if choose.random() < 0.3:
        side = (1, 255, 4096, 16384, 32767, 65500, 2**31 - 1)
        content = files.lie(choose.choice(files.KINDS), choose.choice(side), choose.choice(side))
    name = choose.choice(("image.png", "image.jpg", "image.npy", "image"))
    return _data_case(content, name, choose)


def array_case(_seed: int, _material: Material, choose: random.Random) -> Altered:
    """An altered array to pack a model with."""
    whole = [files.example(files.arrays(), choose.getrandbits(32)) for _ in range(2)]
    if choose.random() < 0.5:
        whole = [path.read_bytes() for path in choose.sample(sorted(SAMPLES.glob("*.npy")), 2)]
    content = alter.data(whole[0] + bytes(8), whole[1] + bytes(8), choose)
    return _data_case(choose.choice((content, whole[0])), "array.npy", choose)


def _data_case(content: bytes, name: str, choose: random.Random) -> Altered:
    model = choose.choice(("digits", "photo"))
    words = ("pack", str(SAMPLES / f"{model}.mge"), "-d", "FILE", "-o", "OUT")
    extra = choose.choice(((), ("--resize-input",), ("--input-transform", "data / 255")))
    return Altered(content, name, (*words, *extra))


TARGETS: dict[str, Callable[[int, Material, random.Random], Altered]] = {
    "models": model_case,
    "packed files": packed_case,
    "diffs": diff_case,
    "image files": image_case,
    "array files": array_case,
}


def case(target: str, seed: int, material: Material) -> Altered:
    """The case of a target and a seed."""
    choose = random.Random(zlib.crc32(target.encode()) + (seed << 32))
    return TARGETS[target](seed, material, choose)


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    status: int
    said: str


def run(altered: Altered, folder: Path) -> tuple[Ended, list[Finding]]:
    """Run the command on a case in ``folder``, which is made, and judge."""
    out, scratch = folder / "out", folder / "tmp"
    for path in (out, scratch):
        path.mkdir(parents=True)
    (folder / altered.name).write_bytes(altered.content)
    places = {
        "FILE": str(folder / altered.name),
        "OUT": str(out / "out.mge"),
        "DEPLOY": str(out / "deploy.mge"),
    }
    words = [places.get(word, word) for word in altered.words]
    ended = started([*words, "--timeout", str(TIMEOUT)], scratch)
    findings = [*judged(ended), *left(folder, ended, altered)]
    if altered.model and ended.status == 0 and not findings:
        findings += earned(folder / altered.name, altered.model)
    return ended, findings


def started(words: Sequence[str], scratch: Path) -> Ended:
    """Run the command; a status of -SIGALRM is that of one that did not end."""
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-m", "megdump_ci", *words],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=MOST)
        status = process.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        status = -signal.SIGALRM
    return Ended(status, said.decode(errors="replace"))


def judged(ended: Ended) -> Iterator[Finding]:
    """What is wrong with how the command ended."""
    tail = ended.said[-1500:]
    if ended.status == -signal.SIGALRM:
        yield Finding(HANG, f"it ran for more than {MOST} s\n{tail}")
    elif ended.status < 0:
        yield Finding(CRASH, f"killed by {signal.Signals(-ended.status).name}\n{tail}")
    elif ended.status not in STATUSES:
        yield Finding(EXIT, f"exit status {ended.status}\n{tail}")
    elif "Traceback (most recent call last)" in ended.said:
        yield Finding(EXIT, f"a traceback, and exit status {ended.status}\n{tail}")
    elif not ended.said.strip():
        yield Finding(EXIT, f"exit status {ended.status}, and nothing was said")


def left(folder: Path, ended: Ended, altered: Altered) -> Iterator[Finding]:
    """What is there that must not be there, or is not."""
    expected = {0: "", 1: ".failed", 3: ".unverified"}
    suffix = expected.get(ended.status)
    allowed = set()
    if suffix is not None and "OUT" in altered.words:
        for name in ("out.mge", "deploy.mge"):
            allowed |= {name + suffix, f"{name}{suffix}.json"}
        if ended.status == 0 and not (folder / "out" / "out.mge").is_file():
            yield Finding(EXIT, "exit status 0, and no output")
    # The strip info of a file that is kept aside goes with it.
    found = [path for path in (folder / "out").iterdir() if path.name not in allowed]
    found += (folder / "tmp").iterdir()
    if found:
        yield Finding(LEFT, "files: " + ", ".join(str(path.relative_to(folder)) for path in found))
    for number, command in processes(folder):
        yield Finding(LEFT, f"process {number}: {command}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Numbers and commands of processes that were started by the command of a case."""
    sign = os.fsencode(folder)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if sign in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                yield int(entry.name), command.decode(errors="replace")


def earned(file: Path, model: Path) -> list[Finding]:
    """What speaks against a packed file that passed, by a program that shares no code with it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.earned", str(file), str(model)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MOST,
    )
    if done.returncode == 0:
        return []
    return [Finding(EXIT, f"a pass that was not earned\n{done.stdout}{done.stderr[-1500:]}")]
