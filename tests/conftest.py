"""Settings that hold for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: the machine may be busy. In CI the examples are the same in every run, so that a
# change is judged by what it changed.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
