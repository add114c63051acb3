"""The electrical side of the twin: sources, UPS, PDUs, cords, and what each loses on the way.

``topology`` reads the feeds from the power links, ``chain`` has the loss curves, ``battery``,
``protection`` and ``sources`` the parts with a memory, ``model`` puts them together in ``Power``;
``redundancy`` and ``failover`` answer what a lost part would take with it.
"""

from .constants import PowerConstants
from .model import Power
from .state import PowerBalance, PowerState

__all__ = ["Power", "PowerBalance", "PowerConstants", "PowerState"]
