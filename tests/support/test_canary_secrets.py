"""Tests that a leaked secret fails the test that leaked it, wherever it leaked."""

import pytest

from tests.support import canary_secrets as plugin
from tests.support.canary_secrets import MARK, almost, canary
from tests.support.repository import ROOT

pytest_plugins = ["pytester"]

KEY = canary("registration key")

LEAKING = """
    import logging
    import sqlite3
    import sys
    from contextlib import closing

    import pytest

    from adapters.memory.clock import MemoryClock
    from adapters.memory.store import MemoryStore
    from adapters.system.new_key import new_serial
    from application.access.host_credentials import HostCredentials
    from tests.support.certificates import CertificateFiles
    from tests.support.processes import Process, run_to_end
    from tests.support.canary_secrets import DOCUMENT, leak_detector, canary

    KEY = canary("registration key")
    SHOUTED = canary("operator key").upper()
    LOGGED = canary("broker password")

    def test_leaks_on_stdout():
        print(f"the key is {KEY}")

    def test_leaks_on_stderr():
        print(f"the key is {KEY}", file=sys.stderr)

    def test_leaks_in_other_letters():
        print(f"the key is {SHOUTED}")

    def test_leaks_in_the_log():
        logging.getLogger("x").warning("the password is %s", LOGGED)

    def test_leaks_in_a_field_of_the_log():
        logging.getLogger("x").warning("joined", extra={"password": LOGGED})

    def test_leaks_in_a_traceback():
        try:
            try:
                raise ValueError(LOGGED)
            except ValueError as error:
                raise LookupError("a harmless text") from error
        except LookupError:
            logging.getLogger("x").exception("failed")

    def test_leaks_from_a_command():
        run_to_end("python", "-c", "import os; print(os.environ['KEY'])", KEY=KEY)

    def test_leaks_from_a_command_that_complains():
        run_to_end("python", "-c", "import os, sys; sys.exit(os.environ['KEY'])", KEY=KEY)

    @pytest.mark.parametrize("stream", ["stdout", "stderr"])
    def test_leaks_from_a_process(stream):
        code = f"import os, sys; print(os.environ['KEY'], file=sys.{stream})"
        Process("python", "-c", code, KEY=KEY).wait()

    @pytest.fixture
    def process():
        code = "import os, time; print('up', flush=True); time.sleep(1); print(os.environ['KEY'])"
        process = Process("python", "-c", code, KEY=KEY)
        yield
        process.wait()

    def test_leaks_after_its_end(process):
        pass

    @pytest.fixture
    def noisy():
        print(KEY)

    def test_leaks_before_its_begin(noisy):
        pass

    def test_leaks_in_a_followed_file(tmp_path):
        file = tmp_path / "log"
        file.write_text("begin\\n")
        leak_detector.follow("in the log of a broker", file)
        with file.open("a") as log:
            log.write(f"user {KEY} refused\\n")

    def test_leaks_at_the_end_of_an_unfollowed_file(tmp_path):
        file = tmp_path / "log"
        file.write_text(KEY + "\\n")
        leak_detector.follow("in the log of a broker", file)
        leak_detector.unfollow(file)

    def test_leaks_into_a_store(tmp_path):
        with closing(sqlite3.connect(tmp_path / "fleet.sqlite3")) as store:
            store.execute("CREATE TABLE servers (name TEXT)")
            store.execute("INSERT INTO servers VALUES (?)", [KEY])
            store.commit()

    def test_leaks_what_an_api_signed():
        print(HostCredentials(MemoryStore(), MemoryClock(), new_serial).issue(42, 1))

    @pytest.mark.parametrize("line", [1, 2])
    def test_leaks_a_line_of_a_private_key(tmp_path, line):
        files = CertificateFiles(tmp_path)
        files.issue()
        secret = files.key.read_text().partition("-----BEGIN")[2]
        print(f"cannot parse {secret.splitlines()[line]!r}")

    def test_leaks_what_an_oidc_provider_signed():
        print(".".join(("eyJhbGciOiJSUzI1NiJ9", "eyJzdWIiOiJhbm4ifQ", "c2lnbmF0dXJl")))

    def test_leaks_a_key_of_its_own():
        logging.getLogger("x").warning("-----BEGIN PRIVATE KEY-----")

    def test_leaks_and_fails():
        print(KEY)
        pytest.fail("for another reason")

    def test_leaks_and_is_skipped():
        print(KEY)
        pytest.skip("for no reason")

    def test_keeps_its_secrets(tmp_path):
        print("a word on a (registration-key), a canary in a tree and nothing else")
        logging.getLogger("x").warning("the key is refused")
        (tmp_path / "key").write_text(KEY)
        run_to_end("python", "-c", "import os; print(len(os.environ['KEY']))", KEY=KEY)

    def test_keeps_a_document_in_a_store(tmp_path):
        with closing(sqlite3.connect(tmp_path / "fleet.sqlite3")) as store:
            store.execute("CREATE TABLE documents (document TEXT)")
            store.execute("INSERT INTO documents VALUES (?)", [canary(f"{DOCUMENT} of a game")])
            store.commit()
        leak_detector.check("in an answer", canary(f"{DOCUMENT} of a game"), allowed=DOCUMENT)
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_leak_fails_its_test_and_nothing_else_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(LEAKING)
    ended = pytester.runpytest_subprocess(
        # Captured output in the report would count as a leak of this test.
        *("-p", "tests.support.canary_secrets", "--show-capture=no", "-n", workers, "-rA")
    )
    outcomes = {
        (word, line.partition("::")[2].partition(" ")[0])
        for line in ended.outlines
        for word in ("PASSED", "FAILED", "ERROR")
        if line.startswith(word)
    }
    names = {name for _, name in outcomes}
    leaking = {name for name in names if name.startswith("test_leaks")}

    assert len(leaking) == LEAKING.count("def test_leaks") + 2
    assert {name for word, name in outcomes if word != "PASSED"} == leaking
    assert {name for name in names if name.startswith("test_keeps")} == names - leaking
    assert MARK not in ended.stdout.str()


def test_the_report_names_the_secret_and_the_output(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(LEAKING)
    ended = pytester.runpytest_subprocess(
        *(
            "-p",
            "tests.support.canary_secrets",
            "--show-capture=no",
            "-k",
            "in_a_followed_file or on_stdout",
        )
    )

    ended.stdout.fnmatch_lines_random(
        [
            "'registration-key' leaked, captured stdout call: the key is (registration-key)",
            "'registration-key' leaked, in the log of a broker: user (registration-key) refused",
        ]
    )


def test_this_runs_own_outputs_are_checked(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.is_registered(plugin)


def test_a_name_gives_one_secret_and_near_misses_differ() -> None:
    assert canary("registration key") == KEY != canary("operator key")
    assert KEY not in [param.values[0] for param in almost(KEY)]
