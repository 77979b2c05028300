"""Tries one target guided by coverage: ``python -m tests.fuzz.guided NAME ARGUMENT...``.

The arguments are libFuzzer's: ``-runs=N``, ``-max_total_time=SECONDS``, ``-seed=N``, or a file with
bytes that were found to try them again. Hypothesis makes the case of the bytes, so what libFuzzer
changes is a part of the case's structure and not its text.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

CORPUS = 100
"""Random texts to begin with."""


def main(argv: list[str]) -> None:
    """Fuzz until the end that the arguments set; an exception ends it with status 77."""
    import atheris

    with atheris.instrument_imports(include=["megdump_ci"]):
        from tests.fuzz import inside

        inside.limit()
        from tests.fuzz import targets
    run = inside.Run(targets.BY_NAME[argv[0]], Path(os.environ["FUZZ_CURRENT"]))
    fuzz = run.function(0, 1).hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def once(content: bytes) -> None:
        fuzz(content)
        # It ends by os._exit, so this cannot wait until then.
        if run.tried < 100 or run.tried % 50 == 0:
            run.tell()

    atheris.Setup(["fuzz", *argv[1:], *_begun(argv[1:])], once)
    atheris.Fuzz()


def _begun(arguments: list[str]) -> list[str]:
    """What to begin with: a case takes some bytes, which libFuzzer would have to come to first."""
    if any(not word.startswith("-") for word in arguments):
        return []
    folder = Path(os.environ["FUZZ_CURRENT"]).with_name("corpus")
    folder.mkdir()
    for number in range(CORPUS):
        choose = random.Random(number)
        (folder / str(number)).write_bytes(choose.randbytes(choose.choice((64, 256, 1024, 4096))))
    return [str(folder), "-max_len=8192", "-len_control=0"]


if __name__ == "__main__":
    main(sys.argv[1:])
