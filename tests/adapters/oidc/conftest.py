import logging
from collections.abc import Iterator

import pytest

from tests.support.oidc_provider import (
    Provider,
    provider,
)
from tests.support.token_verifier import Verifier


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
def verifier(idp: Provider) -> Verifier:
    return Verifier(idp)
