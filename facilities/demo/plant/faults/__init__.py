"""The faults that can be injected. A new one: one function in the module of its group, one row in
docs/demo-plant.md.
"""

from . import compute, cooling, instruments, network, power, safety  # noqa: F401 - they register
from .base import FAULTS, GROUPS, Fault, FaultBook, Present, conditions_of

__all__ = ["FAULTS", "GROUPS", "Fault", "FaultBook", "Present", "conditions_of"]
