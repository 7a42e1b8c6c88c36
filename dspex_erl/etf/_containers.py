"""Makes the containers that the pure decoder returns from what it has read, without the checks of their constructors.

Those refuse what is not frozen, and recurse; the decoder knows that what it puts in is frozen.
"""

from __future__ import annotations

from dspex_erl.terms import ImproperList, List

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_new_list = list.__new__


def frozen_list(items: Any) -> List:
    """A frozen list of ``items``."""
    frozen = _new_list(List)
    list.extend(frozen, items)
    return frozen


def improper_list(items: list[Any]) -> ImproperList:
    """The list of all ``items`` but the last, which is its tail."""
    value = _new_list(ImproperList)
    list.extend(value, items[:-1])
    object.__setattr__(value, "tail", items[-1])
    return value
