"""The data list as a file: export, and import with a preview of every change."""

from facilities.datalist.export import export_csv, export_yaml
from facilities.datalist.importing import (
    Change,
    ImportPlan,
    ImportProblems,
    StalePlan,
    import_apply,
    import_plan,
)

__all__ = [
    "Change",
    "ImportPlan",
    "ImportProblems",
    "StalePlan",
    "export_csv",
    "export_yaml",
    "import_apply",
    "import_plan",
]
