"""The rules for hosts that join the fleet, besides the registration key."""

from dataclasses import dataclass

from domain.approval import Approval, ApprovalPolicy
from domain.enforcement import ENFORCE_ALL, Enforcement, Mode, Switch
from domain.machine_evidence import NamePolicy


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """The rules that an operator has set. The defaults are those of the settings."""

    name_policy: NamePolicy = NamePolicy.REJECT
    approval_policy: ApprovalPolicy = ApprovalPolicy.AUTO
    enforcement: Enforcement = ENFORCE_ALL

    def revision_for_host(self, config_revision: int, approval: Approval) -> int:
        """The configuration revision to send to a host: 0 while it waits for approval."""
        waits = approval is Approval.PENDING
        return 0 if waits and self.enforces(Switch.APPROVAL) else config_revision

    def enforces(self, switch: Switch) -> bool:
        return self.enforcement.of(switch) is Mode.ENFORCE


DEFAULT_RULES = RegistrationRules()
