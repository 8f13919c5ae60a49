"""A fleet whose API issues certificates to hosts."""

from dataclasses import replace

from adapters.memory.store import MemoryStore
from application.access.certificates import Certificates
from application.registration.register_server import Registered, Registration
from application.registration.renew_certificate import RenewCertificate
from domain.machine_evidence import Evidence
from domain.registration_rules import DEFAULT_RULES, RegistrationRules
from tests.support.builders import evidence
from tests.support.fleet import Fleet
from tests.support.operators import REQUEST, FakeAuthority

HERE = evidence("disk", "board", "boot 1", "process 1")
RESTARTED = evidence("disk", "board", "boot 1", "process 2")


class CertifyingFleet(Fleet):
    def __init__(self, rules: RegistrationRules = DEFAULT_RULES) -> None:
        super().__init__(MemoryStore(), rules=rules)
        self.authority = FakeAuthority()
        self.certificates = Certificates(self.authority, "example.com")
        authenticate_host = replace(self.register.authenticate_host, credentials=self.credentials)
        self.register = replace(
            self.register, authenticate_host=authenticate_host, certificates=self.certificates
        )
        self.renew = RenewCertificate(
            self.store, self.clock, authenticate_host, self.certificates, rules.enforcement
        )

    def join(
        self, name: str = "web", host: Evidence = HERE, signing_request: bytes = REQUEST
    ) -> Registered:
        return self.register(Registration(name, evidence=host, signing_request=signing_request))
