"""Who may make which call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import RoleTooLow
from domain.role import Role
from protos.manman.v1 import manman_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ManManAPI"]


@dataclass(frozen=True, slots=True)
class CallRule:
    """`role` is what an operator needs, None for a call of hosts, who show keys of their own.
    With `changes`, it is noted who made it."""

    role: Role | None
    changes: bool = False

    @property
    def is_of_hosts(self) -> bool:
        return self.role is None

    def check(self, role: Role) -> None:
        """Raises RoleTooLow unless an operator of this role may make the call."""
        if self.role and not role.includes(self.role):
            raise RoleTooLow(self.role, role)


HOST = CallRule(None)
VIEWER_READS = CallRule(Role.VIEWER)
OPERATOR_READS = CallRule(Role.OPERATOR)
OPERATOR_CHANGES = CallRule(Role.OPERATOR, changes=True)
ADMIN_READS = CallRule(Role.ADMIN)
ADMIN_CHANGES = CallRule(Role.ADMIN, changes=True)

CALL_RULES: Mapping[str, CallRule] = {
    "RegisterServer": HOST,
    "Heartbeat": HOST,
    "FetchConfiguration": HOST,
    "Deregister": HOST,
    "RenewCertificate": HOST,
    "GetTrustBundle": HOST,
    "ListServers": VIEWER_READS,
    "GetServer": VIEWER_READS,
    "ExplainServer": VIEWER_READS,
    "ListDeletedServers": VIEWER_READS,
    "ListConflicts": VIEWER_READS,
    "GetConflict": VIEWER_READS,
    "ListWouldReject": VIEWER_READS,
    "GetConfiguration": VIEWER_READS,
    "ListConfigurations": VIEWER_READS,
    "GetEffectiveConfiguration": VIEWER_READS,
    "CreateServer": OPERATOR_CHANGES,
    "UpdateServer": OPERATOR_CHANGES,
    "LabelServer": OPERATOR_CHANGES,
    "RefreshServer": OPERATOR_CHANGES,
    "DeleteServer": OPERATOR_CHANGES,
    "RestoreServer": OPERATOR_CHANGES,
    "PruneServers": OPERATOR_CHANGES,
    "MergeServers": OPERATOR_CHANGES,
    "ApproveServer": OPERATOR_CHANGES,
    "RejectServer": OPERATOR_CHANGES,
    "BanServer": OPERATOR_CHANGES,
    "ResolveConflict": OPERATOR_CHANGES,
    "PutConfiguration": OPERATOR_CHANGES,
    "DeleteConfiguration": OPERATOR_CHANGES,
    "CreateJoinKey": OPERATOR_CHANGES,
    "ListJoinKeys": OPERATOR_READS,
    "ListJoinKeyUses": OPERATOR_READS,
    "RevokeJoinKey": OPERATOR_CHANGES,
    "CreateOperatorKey": ADMIN_CHANGES,
    "ListOperatorKeys": ADMIN_READS,
    "RevokeOperatorKey": ADMIN_CHANGES,
    "ListAudit": ADMIN_READS,
}


class CallsWithoutRule(Exception):
    """The contract has calls of which nobody said who may make them, or rules are of no call."""


def check_rules(calls: Iterable[str], rules: Mapping[str, CallRule] = CALL_RULES) -> None:
    """Raises CallsWithoutRule."""
    unmatched = sorted(set(calls) ^ rules.keys())
    if unmatched:
        raise CallsWithoutRule(f"CALL_RULES and the contract differ in {', '.join(unmatched)}")


# A call without a rule must not be served, whoever may make it.
check_rules(method.name for method in SERVICE.methods)
