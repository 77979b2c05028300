"""The packing half of ``megdump-ci pack``: nothing is verified, and nothing put in place.

python -m benchmarks.peers.pack_alone MODEL OUT COUNT
"""

from __future__ import annotations

import sys

from megdump_ci.commands.pack import Packing
from megdump_ci.options import PackOptions
from megdump_ci.output import StagedFile
from megdump_ci.session import Silent, opened, scratch_folder
from megdump_ci.state import State
from megdump_ci.testcase.spec import read_specs


def main() -> None:
    """Pack, without the verifying process."""
    model, out, count = sys.argv[1:]
    options = PackOptions(model=model, data=("#rand(0,255)",) * int(count), output=out)
    with (
        StagedFile(out) as staged,
        scratch_folder() as scratch,
        opened(scratch, options, Silent()) as session,
    ):
        packing = Packing(
            options,
            read_specs(options.data),
            State(),
            session,
            {"packed": staged},
            exported=None,
            kernels=None,
        )
        packing.run()
        staged.commit()


if __name__ == "__main__":
    main()
