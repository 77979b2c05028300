#!/bin/sh
# Cuts the CUDA device code out of MegEngine's library in a virtual environment, and demands that
# what is computed stays the same, to the last bit:  cut_and_test.sh VENV
set -eu
here=$(dirname "$0")
python=$1/bin/python
library=$(echo "$1"/lib/python3.*/site-packages/megengine/core/lib/libmegengine_shared.so)
digests=$(mktemp -d)

# 0: the engine's kernels, as it chooses them. 2: its naive ones, to which verification falls back.
record() {
  for kernels in 0 2; do
    MGB_USE_MEGDNN_DBG=$kernels "$python" -IB "$here/selftest.py" "$digests/$1.$kernels" \
      2>"$digests/log" || { cat "$digests/log"; return 1; }
  done
}

compare() {
  for kernels in 0 2; do
    diff "$digests/wheel.$kernels" "$digests/$1.$kernels"
  done
}

record wheel
# First so that reading a cut byte is a crash: nothing does.
"$python" -IB "$here/cut_device_code.py" cut "$library"
record unmapped
compare unmapped
# Then as it ships: such a byte is zero.
"$python" -IB "$here/cut_device_code.py" fill "$library"
record filled
compare filled
rm -r "$digests"
ls -l "$library"
