"""``python -m megdump_ci``, and ``megdump-ci``: the command."""

import sys

from megdump_ci import stopping


def main() -> int:
    """Run the command, which a signal ends in order from here on; the exit status."""
    with stopping.at_once():
        from megdump_ci import cli

        return cli.main()


if __name__ == "__main__":
    sys.exit(main())
