"""The network under GPU jobs: links, routes, collectives, and what a slow link does to whom."""

from .constants import NetworkConstants
from .model import Network
from .state import NetworkState

__all__ = ["Network", "NetworkConstants", "NetworkState"]
