"""The commands. Only here are settings read and objects built."""

import os

# gRPC's core writes to stderr by itself, past every log format; what matters comes as an error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Read by pyproject.toml. To ask for what is installed would cost each start 40 ms.
__version__ = "0.1.0"
