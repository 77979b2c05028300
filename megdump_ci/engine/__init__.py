"""The only room that knows MegEngine. Its code runs in worker processes, never in the parent."""
