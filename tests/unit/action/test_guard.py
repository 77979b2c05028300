from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
# 3 is PR_GET_DUMPABLE. That this shuts others out is tested in the container.
_CODE = f"""
import ctypes, subprocess, sys
sys.path.insert(0, {str(_ROOT)!r})
from megdump_ci.action import guard
guard.close()
ask = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
exec(ask)
sys.stdout.flush()
subprocess.run([sys.executable, "-I", "-c", ask], check=True)
"""


def test_it_shuts_this_process_and_none_that_it_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _CODE], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1"]
