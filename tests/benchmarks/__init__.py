"""How many heartbeats a second, and at what cost. `python -m tests.benchmarks` prints it."""
