"""Entry of an engine process: ``python -I .../megdump_ci/engine FOLDER...``.

The folders are put on the module path, because isolated mode (``-I``) leaves out what the parent
was started with. stdin brings the job, stdout takes the events.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    sys.path[:0] = sys.argv[1:]
    from megdump_ci.engine.process import main

    main()
