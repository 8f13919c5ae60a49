"""The side port: for who watches a process, not for who uses it."""
