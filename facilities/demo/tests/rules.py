"""What the tests of the plant step: see ``facilities/demo/plant/offline.py``."""

from facilities.demo.plant.offline import START, Offline

__all__ = ["START", "Offline"]
