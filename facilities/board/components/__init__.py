"""The six components, one module each. A new need is a function there."""

from __future__ import annotations

from facilities.board.cells import Component
from facilities.board.components import converter, data_list, facility, network, server, software
from facilities.board.context import Context, read_context

ALL = (facility, data_list, converter, network, server, software)


def read_board(context: Context | None = None) -> list[Component]:
    """The whole board, computed now."""
    context = context or read_context()
    return [Component(module.KEY, module.TITLE, tuple(module.cells(context))) for module in ALL]
