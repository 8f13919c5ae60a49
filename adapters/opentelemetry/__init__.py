"""Traces. Use cases and ports are traced from outside, by wrapping them.

A process that does not trace imports only `null_tracing`, which needs no library.
"""
