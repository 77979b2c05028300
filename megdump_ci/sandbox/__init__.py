"""The box that an engine process is put into before it reads anything of a model.

Each file has one means of the system: :mod:`~megdump_ci.sandbox.identity` the user,
:mod:`~megdump_ci.sandbox.limits` the resource limits, :mod:`~megdump_ci.sandbox.landlock` the
files, :mod:`~megdump_ci.sandbox.seccomp` the system calls. :mod:`~megdump_ci.sandbox.box` puts a
process into it. What a machine does not offer is left out and named; nothing here fails for it.

The means are asked for by their system calls: there is no well-kept package that has them without
a C library of the machine's, and what is needed of them is a page each.
"""
