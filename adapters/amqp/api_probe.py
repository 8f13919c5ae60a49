from contextlib import closing, suppress
from dataclasses import dataclass

from adapters.amqp.broker import Broker
from adapters.amqp.control_plane import AmqpControlPlane
from application.host.key_ring import KeyRing
from application.ports.host.control_plane import ControlPlaneRefused, RegistrationRequest
from application.ports.probes.api_probe import NO_SERVER_ID, KeyTrial
from domain.errors import InvalidRegistrationKey, NotAdmitted, ServerNotFound


@dataclass(frozen=True)
class AmqpApiProbe:
    """The API behind a broker.

    Asks the API to register a host without a name: the API checks the key before the name, and
    registers nothing.
    """

    broker: Broker

    def try_key(self, key: str, credential: str = "") -> KeyTrial:
        keys = KeyRing.single(key, credential)
        with closing(AmqpControlPlane(self.broker, keys)) as control_plane:
            try:
                control_plane.register(RegistrationRequest(name=""))
            except InvalidRegistrationKey:
                return KeyTrial(admitted=False, clock=None)
            except NotAdmitted as error:
                raise ControlPlaneRefused(
                    f"The API behind RABBITMQ_URL refuses this host, {error}",
                    "set another REGISTRATION_KEY",
                ) from error
            except ControlPlaneRefused:
                return KeyTrial(admitted=True, clock=None)
        raise ControlPlaneRefused(
            "The API behind RABBITMQ_URL registered a host without a name",
            "set RABBITMQ_URL to the broker of a ManMan API",
        )

    def ping_store(self, key: str) -> None:
        with (
            closing(AmqpControlPlane(self.broker, KeyRing.single(key))) as control_plane,
            suppress(ServerNotFound),
        ):
            control_plane.fetch_configuration(NO_SERVER_ID, 0)
