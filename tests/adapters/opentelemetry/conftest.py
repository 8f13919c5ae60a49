from collections.abc import Iterator

import pytest

from tests.support.traced import (
    Traced,
)


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    yield traced
    traced.tracing.close()
