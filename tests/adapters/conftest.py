import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import CertificateFiles


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A directory with a short path, as addresses of sockets need it, that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="manman") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    """With a certificate for 127.0.0.1."""
    files = CertificateFiles(tmp_path)
    files.issue()
    return files
