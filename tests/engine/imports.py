"""Run in a process of its own: what of MegEngine's imports is there, and what it is then."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

UNUSED = ("asyncio", "boto3", "cryptography", "deprecated", "filelock", "megfile", "paramiko")
UNUSED += ("pkg_resources", "requests", "wrapt")


def slack_of(name: str) -> Path:
    """Where the kernel tells the slack of a thread of this process, which names itself."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for thread in Path("/proc/self/task").iterdir():
            if (thread / "comm").read_text().strip() == name:
                return Path("/proc") / thread.name / "timerslack_ns"
        time.sleep(0.01)
    raise AssertionError(f"there is no thread {name}")


def main(folder: Path) -> None:
    """Fail with an AssertionError if anything is not as it should be."""
    from megdump_ci.engine import lean

    lean.load()
    # The thread that would look every 10 us, and no other.
    assert int(slack_of("CompNodeSync").read_text()) == lean._SLACK
    assert int(Path("/proc/self/timerslack_ns").read_text()) < lean._SLACK
    assert gc.isenabled()
    assert [name for name in UNUSED if name in sys.modules] == []
    import megengine

    # All of it is there, as after a plain import.
    assert megengine.hub.load
    assert megengine.data.dataset.MNIST

    # MegEngine gets the real ones when it needs them.
    from megengine.hub import fetcher
    from megengine.utils import http_download

    (folder / "from").write_bytes(b"content")
    digest = http_download.download_from_url(str(folder / "from"), str(folder / "to"))
    assert (folder / "to").read_bytes() == b"content"
    assert digest == "9a0364b9e99bb480dd25e1f0284c8555"
    assert "megfile" in sys.modules

    # So does the user's code.
    import pkg_resources
    import requests

    assert fetcher.requests.get is requests.get
    assert pkg_resources.get_distribution("megengine").version.startswith("1.13.0")
    assert not isinstance(pkg_resources, lean._Installed)
    assert not isinstance(requests, lean._Later)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
