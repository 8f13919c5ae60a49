"""By which rules hosts join the fleet, besides its key."""

from dataclasses import dataclass

from domain.approval import Approval, ApprovalPolicy
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.machine_evidence import NamePolicy


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """What an operator has set; the defaults are those of the settings."""

    name_policy: NamePolicy = NamePolicy.REJECT
    approval_policy: ApprovalPolicy = ApprovalPolicy.AUTO
    enforcement: Enforcement = ENFORCE_ALL

    def revision_for_host(self, config_revision: int, approval: Approval) -> int:
        """The revision of its configuration that a host is told: 0 while it waits."""
        waits = approval is Approval.PENDING
        return 0 if waits and self.enforces(Switch.APPROVAL) else config_revision

    def enforces(self, switch: Switch) -> bool:
        return self.enforcement.of(switch) is Mode.ENFORCE


DEFAULT_RULES = RegistrationRules()
