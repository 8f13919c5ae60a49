"""A host whose id is given, over AMQP."""

from typing import Any

import pytest

from adapters.amqp.control_plane import LegacyControlPlane
from application.ports.host.control_plane import ControlPlaneRefused, RegistrationRequest
from domain.errors import CredentialRequired


class WantsCredentials:
    """The control plane of an API that enforces them."""

    def status(self, server_id: int, *_: Any) -> None:
        raise CredentialRequired(server_id)


def test_a_legacy_host_must_register_to_get_a_credential() -> None:
    over_amqp: Any = WantsCredentials()

    with pytest.raises(
        ControlPlaneRefused, match=r"^The API requires .*: unset SERVER_ID to register\.$"
    ):
        LegacyControlPlane(over_amqp, 42).register(RegistrationRequest(""))
