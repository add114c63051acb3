"""The database's own guards find their tables in the schema alone.

A function without a fixed search path looks into the session's temporary tables first, and whoever
has a SQL prompt may make some: of the name of a table that a guard asks. After each migrate, because
replacing a function forgets its path.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import connections

PIN: Final = r"""
DO $$ DECLARE found regprocedure;
BEGIN
  FOR found IN
    SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND p.proname LIKE 'approvals\_%' AND p.proconfig IS NULL
  LOOP
    EXECUTE format(
      'ALTER FUNCTION %s SET search_path = pg_catalog, %I, pg_temp', found, current_schema());
  END LOOP;
END $$
"""


def guards_pin(*, using: str = "default", **_: Any) -> None:
    """Fix the search path of every function of the gate. Safe to repeat; one statement."""
    with connections[using].cursor() as cursor:
        cursor.execute(PIN)
