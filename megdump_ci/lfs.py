"""Git LFS pointers: what stands in a checkout where the file itself was not fetched."""

from __future__ import annotations

MAGIC = b"version https://git-lfs"
"""How a pointer begins (git-lfs docs/spec.md)."""

WHAT = "is a Git LFS pointer and not the file itself"
HINT = "fetch it: git lfs pull; in a workflow, actions/checkout with 'lfs: true'"
