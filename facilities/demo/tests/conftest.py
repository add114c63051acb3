import copy

import pytest

from facilities.demo.plant.points import FacilitySpec, read_facility
from facilities.demo.tests.rules import Offline


@pytest.fixture(scope="session")
def facility() -> FacilitySpec:
    return read_facility()


@pytest.fixture(scope="session")
def warm(facility: FacilitySpec) -> Offline:
    """A healthy plant in its steady state; copy it, don't step it."""
    return Offline(facility)


@pytest.fixture(scope="session")
def warm_brisk(facility: FacilitySpec) -> Offline:
    return Offline(facility, step_s=2.0)


@pytest.fixture
def brisk(warm_brisk: Offline) -> Offline:
    """A healthy plant in steps of two seconds: half the work for long stories."""
    return copy.deepcopy(warm_brisk)


@pytest.fixture
def offline(warm: Offline) -> Offline:
    return copy.deepcopy(warm)
