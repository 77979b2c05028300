"""Settings that hold for every test."""

from __future__ import annotations

import os
import signal

from hypothesis import settings

# No deadline: the machine may be busy. In CI the examples are the same in every run, so that a
# change is judged by what it changed.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Under nohup the programs that tests start would be deaf to it, too: what is ignored is inherited,
# and what is handled is not.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
