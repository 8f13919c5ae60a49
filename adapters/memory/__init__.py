"""The memory mode: all ports on Python objects of one process, which end with it."""
