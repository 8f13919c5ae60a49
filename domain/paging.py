"""How a list is divided into pages."""

from collections.abc import Callable, Sequence
from typing import TypeVar

_Row = TypeVar("_Row")
_Key = TypeVar("_Key")


def split_page(
    rows: Sequence[_Row], size: int, key: Callable[[_Row], _Key]
) -> tuple[Sequence[_Row], _Key | None]:
    """The first `size` rows, and the key that the next page begins after.

    The caller reads `size + 1` rows: the additional row shows that there is a next page. On the
    last page the key is None.
    """
    page = rows[:size]
    return page, key(page[-1]) if len(rows) > size else None
