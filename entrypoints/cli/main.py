"""The operator's command.

Only the standard library is imported here at first: whoever presses Ctrl-C while the rest is
loaded gets no traceback. The commands themselves are put together in commands.py.
"""

import signal
import sys


def main() -> None:
    # As in any other program Ctrl-C ends it at once, which a shell calls exit code 130; commands
    # that want to end otherwise say so. Who started it may want Ctrl-C to be ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from entrypoints.cli.commands import manmanv2

    sys.exit(manmanv2())


if __name__ == "__main__":
    main()
