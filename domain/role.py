"""What an operator may do."""

from enum import StrEnum


class Role(StrEnum):
    """Each may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def includes(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)
