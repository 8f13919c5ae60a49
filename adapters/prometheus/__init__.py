"""Metrics for Prometheus. Use cases and ports are measured from outside, by wrapping them."""
