"""The container's entry point. Isolated mode puts no script's folder on the module path."""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from megdump_ci import stopping

    with stopping.at_once():
        from megdump_ci.action import guard
        from megdump_ci.action.main import main

        guard.close()
        sys.exit(main(os.environ))
