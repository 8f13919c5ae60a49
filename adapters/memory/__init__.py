"""The memory mode: the ports on Python objects, in one process, gone with it."""
