"""Runs a module as a program that ends when the demonstration does, however that ends.

Usage: python -m entrypoints.cli.demo_child PARENT_PID MODULE
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, module = sys.argv[1:]
    if sys.platform == "linux":
        # The kernel sends this even if the parent is killed with SIGKILL.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent_pid):
        # The parent ended before the kernel knew what to send.
        sys.exit(-signal.SIGTERM)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
