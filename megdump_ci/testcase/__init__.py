"""Data specs to arrays: grammar, list files, random data, images, ``.npy`` files, transforms.

:mod:`~megdump_ci.testcase.spec` reads and binds specs and imports no numpy, so that the command
line can answer a bad spec at once. :mod:`~megdump_ci.testcase.values` makes the arrays.
"""
