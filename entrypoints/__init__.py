"""The commands. Only here are settings read and objects built."""

import os

# gRPC's core writes to stderr by itself and ignores the log format. Everything that matters is also
# raised as an error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Read by pyproject.toml. Looking up the version of the installed package would cost each start 40
# ms.
__version__ = "0.1.0"
