"""Measures the durable unary heartbeats per second of the API and of two reference servers."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.host_manager import measure_host_manager
from tests.benchmarks.load import NeverAllAtOnce, WrongReplies
from tests.benchmarks.machine import machine_line
from tests.benchmarks.measurement import NotWritten, Round, measure_rounds
from tests.benchmarks.report import report
from tests.benchmarks.subjects import Bench
from tests.support.services.postgres import PostgresCluster
from tests.support.services.rabbitmq import RabbitBroker, find_broker_binaries


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="run one short round for a quick result"
    )
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--hosts", type=int, default=128, help="(default: %(default)s)")
    parser.add_argument(
        "--heartbeats",
        type=int,
        default=100,
        help="sent by each host in a round (default: %(default)s)",
    )
    options = parser.parse_args()
    # The first heartbeat of each host is not measured.
    for name, least in (("rounds", 1), ("hosts", 1), ("heartbeats", 2)):
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    if options.quick:
        options.rounds, options.hosts, options.heartbeats = 1, 64, 40
    if not shutil.which("h2load"):
        print(
            "h2load, the load generator, is not installed: apt-get install nghttp2-client",
            file=sys.stderr,
        )
        return os.EX_UNAVAILABLE
    if not find_broker_binaries():
        print("RabbitMQ is not installed: apt-get install rabbitmq-server", file=sys.stderr)
        return os.EX_UNAVAILABLE
    # Handle SIGTERM like Ctrl-C, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _run(options)
    except (WrongReplies, NeverAllAtOnce, NotWritten) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return os.EX_OK


def _run(options: argparse.Namespace) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="manman-bench-")))
        postgres = stack.enter_context(PostgresCluster())
        broker = stack.enter_context(RabbitBroker())
        subjects = Bench(options.hosts, folder, postgres, broker, stack).subjects()
        print(machine_line(postgres, broker))
        print(
            f"{options.hosts} hosts, each with one connection and one heartbeat in flight,"
            f" {options.heartbeats} heartbeats per host and round; medians over {options.rounds}"
            " round(s)",
            flush=True,
        )
        rounds: list[Round] = []
        for measured in measure_rounds(subjects, options.rounds, options.heartbeats):
            rounds.append(measured)
            _print_progress(f"round {len(rounds)} of {options.rounds}")
        _print_progress("")
        print("", *report(rounds), "", measure_host_manager(folder, options.rounds), sep="\n")


def _print_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:20}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
