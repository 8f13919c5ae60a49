"""The real services that tests use, and the summary of them at the end of a run."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from typing import Any

import hypothesis
import pytest

from tests.support import canary_secrets as canary
from tests.support.canary_secrets import DOCUMENT, MARK, leak_detector
from tests.support.machine_state import changes, machine_state
from tests.support.services.docker_engine import find_engine, socket_path
from tests.support.services.postgres import PostgresCluster, PostgresServer
from tests.support.services.rabbitmq import VHOSTS, RabbitBroker, find_broker_binaries

STRICT = os.environ.get("STRICT") == "1"
# No deadline: the time of an example depends more on the machine than on the code. STRICT runs use
# the same examples every time, so that two runs of one change agree.
hypothesis.settings.register_profile(
    "ours",
    deadline=None,
    derandomize=STRICT,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ours")
NO_ENGINE = "no Docker engine answers"
NO_BROKER = "no RabbitMQ is installed"
# Skip reasons, and the text about each in the summary.
MISSING_SERVICES = {
    NO_ENGINE: "Docker engine: none answered",
    NO_BROKER: "RabbitMQ: none installed",
}
# These tests take minutes and much of the machine: they run only if named.
collect_ignore = ["stack"]
# Folders and files with tests that mostly wait.
_WAITING = {"e2e", "deploy", "test_control_planes.py", "test_batch_consumer.py"}
# The queue of the subscriber to events.
SUBSCRIBER_QUEUE = "event-subscriber"
DEAD_LETTERS = "manman.dead-letters"
# All queues that tests may leave on a broker.
QUEUES = (
    *("manman.reports", "manman.calls", DEAD_LETTERS),
    *(f"host-{number}-commands" for number in range(1, 10)),
    SUBSCRIBER_QUEUE,
)
EXCHANGES = ("manman", "external", DEAD_LETTERS)

_STATE_BEFORE = pytest.StashKey[Mapping[str, str]]()
_CHANGED = pytest.StashKey[list[str]]()

# Filled by fixtures; under xdist, from the reports of the workers.
used_services: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(canary)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # These take longest: started last, they would run on alone.
    items.sort(key=lambda item: not (_WAITING & {*item.path.parts}))


def pytest_collection_finish() -> None:
    # Loaded modules stay until the end, so the garbage collector need not scan them.
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for test databases, shared by all tests: tests must leave it running."""
    url = os.environ.get("TEST_DATABASE_URL")
    with PostgresServer(url, "TEST_DATABASE_URL") if url else PostgresCluster() as server:
        used_services.add(str(server))
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """The name of a database with the current schema, to use as a template."""
    from adapters.sql.migrations import upgrade

    url = postgres_server.create_database()
    upgrade(url)
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """The URL of a database with the current schema and no rows."""
    url = postgres_server.create_database(migrated_template)
    yield url
    _check_for_leaks(postgres_server, url)
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def _own_cluster() -> Iterator[PostgresCluster]:
    with PostgresCluster() as cluster:
        used_services.add(str(cluster))
        yield cluster


@pytest.fixture
def own_postgres(_own_cluster: PostgresCluster) -> Iterator[PostgresCluster]:
    """A running cluster that a test may stop, restart and kill."""
    _own_cluster.start()
    yield _own_cluster
    if _own_cluster.running:
        _check_for_leaks(_own_cluster, *_own_cluster.databases)


def _check_for_leaks(server: PostgresServer, *databases: str) -> None:
    """Check that the databases contain no key or password. Documents may contain secrets."""
    for url in databases:
        leak_detector.check("in the database", server.rows_with(url, MARK), allowed=DOCUMENT)


@pytest.fixture(scope="session")
def _broker() -> Iterator[RabbitBroker]:
    if find_broker_binaries() is None:
        pytest.skip(f"{NO_BROKER}: apt-get install rabbitmq-server")
    with RabbitBroker() as broker:
        used_services.add(str(broker))
        yield broker


@pytest.fixture
def rabbitmq(_broker: RabbitBroker) -> Iterator[RabbitBroker]:
    """A running broker without queues, which a test may stop, restart, kill and freeze."""
    _broker.thaw()
    _broker.start()
    for vhost in VHOSTS:
        _broker.forget(QUEUES, EXCHANGES, vhost)
    yield _broker
    if _broker.running:
        _broker.thaw()
        for vhost in VHOSTS:
            for queue in (DEAD_LETTERS, SUBSCRIBER_QUEUE):
                leak_detector.check(f"on the broker in {queue}", _broker.waiting(queue, vhost))


@pytest.fixture
def rabbitmq_url(rabbitmq: RabbitBroker) -> str:
    """The URL of the vhost / of a broker without queues."""
    return rabbitmq.url()


@pytest.fixture(scope="session")
def docker_engine() -> str:
    """The path of the socket of a real Docker engine."""
    engine = find_engine()
    if engine is None:
        pytest.skip(f"{NO_ENGINE} at {socket_path()}: start one or set TEST_DOCKER_SOCKET")
    used_services.add(str(engine))
    return engine.socket


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    if STRICT and call.excinfo and isinstance(call.excinfo.value, pytest.skip.Exception):
        reason = f"skipped, and STRICT=1 allows no skip: {call.excinfo.value.msg}"
        failure = pytest.fail.Exception(reason, pytrace=False).with_traceback(call.excinfo.tb)
        call.excinfo = pytest.ExceptionInfo.from_exception(failure)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    if STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and STRICT=1 allows no skip: {report.longrepr[2]}"
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        session.config.stash[_STATE_BEFORE] = machine_state()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["used_services"] = sorted(used_services)
        return
    changed = changes(session.config.stash[_STATE_BEFORE], machine_state())
    session.config.stash[_CHANGED] = changed
    if changed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # A worker that crashed has no output.
    used_services.update(getattr(node, "workeroutput", {}).get("used_services", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    services = sorted(used_services)
    for reason, text in MISSING_SERVICES.items():
        missed = [
            report
            for outcome in ("skipped", "failed", "error")
            for report in terminalreporter.stats.get(outcome, ())
            if reason in str(report.longrepr)
        ]
        if missed:
            services.append(f"{text}, {len(missed)} tests skipped")
    for change in terminalreporter.config.stash.get(_CHANGED, ()):
        terminalreporter.write_line(f"THE TESTS CHANGED THIS MACHINE: {change}", red=True)
    terminalreporter.write_line(f"services used: {', '.join(services) or 'none'}")
