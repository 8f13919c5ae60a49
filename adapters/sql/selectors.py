"""Selectors of servers as conditions of SQL."""

from sqlalchemy import ColumnElement, exists

from adapters.sql.tables import labels
from domain.labels import Operator, Requirement, Selector


def conditions(selector: Selector, server_id: ColumnElement[int]) -> list[ColumnElement[bool]]:
    """All of these hold for a selected server."""
    return [_condition(requirement, server_id) for requirement in selector.requirements]


def _condition(requirement: Requirement, server_id: ColumnElement[int]) -> ColumnElement[bool]:
    has_key = (labels.c.server_id == server_id) & (labels.c.key == requirement.key)
    has_value = has_key & labels.c.value.in_(requirement.values)
    match requirement.operator:
        case Operator.EQUALS | Operator.IN:
            return exists().where(has_value)
        case Operator.DIFFERS | Operator.NOT_IN:
            return ~exists().where(has_value)
        case Operator.EXISTS:
            return exists().where(has_key)
        case Operator.ABSENT:
            return ~exists().where(has_key)
