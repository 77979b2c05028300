"""``python -m megdump_ci``: the command."""

import sys

from megdump_ci.cli import main

if __name__ == "__main__":
    sys.exit(main())
