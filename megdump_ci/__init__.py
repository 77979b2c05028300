"""Pack a MegEngine model with testcases, verify the packed file, report the verdict."""

__version__ = "0.1.0"
