"""Traces. Our use cases and ports are traced from outside, by wrapping them.

Who does not trace imports `no_traces` at most, which needs no library.
"""
