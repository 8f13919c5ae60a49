"""The operator's command.

Only the standard library is imported here at first, so that Ctrl-C while the rest is loaded
prints no traceback. commands.py assembles the commands.
"""

import signal
import sys


def main() -> None:
    # Ctrl-C ends it at once, which a shell reports as exit code 130. Commands that end in another
    # way set their own handler. If the parent process ignores Ctrl-C, so does this one.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from entrypoints.cli.commands import manmanv2

    sys.exit(manmanv2())


if __name__ == "__main__":
    main()
