"""Key pairs that a child process creates."""

import logging
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.x509.key_pairs import SubprocessKeyGenerator
from application.ports.host.key_pairs import KeyPairUnavailable


def error_of(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, seconds: float = 60
) -> str:
    """The error when the process runs this code instead."""
    (tmp_path / f"{module}.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(KeyPairUnavailable) as caught:
        SubprocessKeyGenerator(seconds=seconds, module=module)()
    return str(caught.value)


def test_each_key_pair_is_new_and_its_request_is_signed_with_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    pairs = [SubprocessKeyGenerator(seconds=60)() for _ in range(2)]

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


def test_the_error_of_a_killed_process_names_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = error_of("killed", tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")

    assert error.startswith("the process that creates it was killed (signal 9); check whether this")


def test_a_process_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid_file = tmp_path / "pid"
    body = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    # On a busy machine the process may be killed before it has written its id.
    for seconds in (1, 10, 60):
        error = error_of("hanging", tmp_path, monkeypatch, body, seconds)

        assert error == f"the process that creates it did not end within {seconds} s"
        if pid_file.exists() and pid_file.read_text():
            break
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize(
    "body", ["raise ImportError('cryptography')", "print('no key')", "import sys; sys.exit(3)", ""]
)
def test_the_error_of_a_failed_process_does_not_contain_its_output(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = error_of("broken", tmp_path, monkeypatch, body)

    assert error == "the process that creates it failed"


def test_a_process_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    with pytest.raises(KeyPairUnavailable, match="the process that creates it cannot be started"):
        SubprocessKeyGenerator()()


def test_the_process_does_not_get_the_secrets_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = tmp_path / "variables"
    body = f"import os; open({str(variables)!r}, 'w').write(' '.join(os.environ))"
    monkeypatch.setenv("REGISTRATION_KEY", "secret")

    error_of("curious", tmp_path, monkeypatch, body)

    assert "PYTHONPATH" in variables.read_text()
    assert "REGISTRATION_KEY" not in variables.read_text()
