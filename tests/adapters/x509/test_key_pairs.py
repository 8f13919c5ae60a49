"""Key pairs that a child process makes."""

import logging
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.x509.key_pairs import SubprocessKeyGenerator
from application.ports.host.key_pairs import KeyPairUnavailable


def failing(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> str:
    """What is said when the process does that instead."""
    (tmp_path / f"{module}.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(KeyPairUnavailable) as caught:
        SubprocessKeyGenerator(seconds=1 if "sleep" in body else 10, module=module)()
    return str(caught.value)


def test_a_key_pair_is_another_one_each_time_and_its_request_is_signed_by_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    pairs = [SubprocessKeyGenerator()() for _ in range(2)]

    for pair in pairs:
        key = load_pem_private_key(pair.key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert isinstance(key.curve, ec.SECP256R1)
        request = x509.load_der_x509_csr(pair.signing_request)
        assert request.is_signature_valid
        assert request.public_key() == key.public_key()
        assert "PRIVATE" not in repr(pair)
    assert pairs[0].key != pairs[1].key
    assert not caplog.records


def test_a_process_that_is_killed_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = failing("killed", tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")

    assert said.startswith("the process that makes it was killed (signal 9); see whether the mach")


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    body = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    said = failing("hanging", tmp_path, monkeypatch, body)

    assert said == "the process that makes it did not end within 1 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize(
    "body", ["raise ImportError('cryptography')", "print('no key')", "import sys; sys.exit(3)", ""]
)
def test_a_process_that_fails_is_told_of_without_its_words(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = failing("broken", tmp_path, monkeypatch, body)

    assert said == "the process that makes it failed"


def test_a_process_that_cannot_be_started_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    with pytest.raises(KeyPairUnavailable, match="no process can be started for it"):
        SubprocessKeyGenerator()()


def test_the_process_is_not_told_what_the_host_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    body = f"import os; open({str(told)!r}, 'w').write(' '.join(os.environ))"
    monkeypatch.setenv("REGISTRATION_KEY", "not to be told")

    failing("curious", tmp_path, monkeypatch, body)

    assert "PYTHONPATH" in told.read_text()
    assert "REGISTRATION_KEY" not in told.read_text()
