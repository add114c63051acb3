"""Nothing but the executor can write to a plant: a walk of the code, beside the import contract."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("approvals", "facilities", "rag", "kvserve", "ops_platform")
DOOR = "approvals/execution/orders.py"
# Libraries that speak to field equipment, and the folders that may name them. Notifications are
# signed webhooks too; they set nothing.
FIELD = {
    "pymodbus": ("approvals/drivers/",),
    "standardwebhooks": ("approvals/drivers/", "approvals/notify/"),
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "/tests/" not in name and "/migrations/" not in name:
                yield name, ast.parse(path.read_text(), name)


def _imports(tree: ast.Module) -> set[str]:
    """Every module that is named in an import anywhere in the file, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _strings(tree: ast.Module) -> set[str]:
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    }


def _under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module of the product imports."""
    return {name: _imports(tree) for name, tree in _modules()}


@pytest.fixture(scope="module")
def strings() -> dict[str, set[str]]:
    """What each module of the product says, docstrings left out."""
    return {name: _strings(tree) for name, tree in _modules()}


def _users(imports: dict[str, set[str]], package: str) -> set[str]:
    return {name for name, named in imports.items() if any(_under(i, package) for i in named)}


def test_it_walks_the_whole_product(imports: dict[str, set[str]]) -> None:
    assert len(imports) > 300
    assert DOOR in imports


def test_it_imports_drivers_in_the_executor_only(imports: dict[str, set[str]]) -> None:
    importers = _users(imports, "approvals.drivers")
    assert DOOR in importers
    inside = ("approvals/execution/", "approvals/drivers/")
    assert {name for name in importers if not name.startswith(inside)} == set()


def test_it_sends_from_one_place(imports: dict[str, set[str]]) -> None:
    """`driver_for` gives a driver away; only the door takes one, and only `run.py` sends through
    the door."""
    assert _users(imports, "approvals.drivers.driver_for") == {DOOR}
    assert _users(imports, "approvals.execution.orders.send") == {"approvals/execution/run.py"}


@pytest.mark.parametrize("library", FIELD)
def test_it_speaks_to_field_equipment_in_drivers_only(
    library: str, imports: dict[str, set[str]]
) -> None:
    users = _users(imports, library)
    assert {name for name in users if not name.startswith(FIELD[library])} == set()
    assert any(name.startswith("approvals/drivers/") for name in users)


def test_it_names_the_plants_write_address_in_its_driver_only(
    strings: dict[str, set[str]],
) -> None:
    writers = {
        name
        for name, said in strings.items()
        if any(s.endswith(("/setpoints", "/work-orders")) for s in said)
        and not name.startswith("facilities/demo/plant/")
    }
    assert writers == {"approvals/drivers/plant.py"}


def test_it_names_redfish_resources_in_its_driver_only(strings: dict[str, set[str]]) -> None:
    speakers = {name for name, said in strings.items() if any("/redfish/v1/" in s for s in said)}
    assert speakers == {"approvals/drivers/redfish_link.py"}


def test_it_hides_drivers_behind_no_dynamic_import(strings: dict[str, set[str]]) -> None:
    """`import_module("approvals.drivers")` would pass every check above."""
    for name, said in strings.items():
        if not name.startswith(("approvals/drivers/", "approvals/execution/")):
            assert not {s for s in said if "approvals.drivers" in s}, name


def test_it_would_notice() -> None:
    """The walk finds an import inside a function, an alias and a dynamic one."""
    sly = ast.parse(
        "def f():\n    from approvals import drivers as d\n    import approvals.drivers.plant\n"
        "    __import__('approvals.drivers')\n"
    )
    assert {"approvals.drivers", "approvals.drivers.plant"} <= _imports(sly)
    assert "approvals.drivers" in _strings(sly)
