"""The twin's prediction becomes part of what is signed: the database refuses to change it."""

from django.db import migrations, models

COLUMNS = """NEW.kind, NEW.target, NEW.title, NEW.params, NEW.writes, NEW.rationale, NEW.citations,
         NEW.preconditions, NEW.expected_effect, NEW.risk, NEW.digest, NEW.requested_by_id, NEW.alarm_id,
         NEW.created_at, NEW.expires_at"""


def guard(columns: str) -> str:
    """The trigger function of 0002 with these columns as the payload."""
    return f"""
CREATE OR REPLACE FUNCTION approvals_guard_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'proposal % is evidence and cannot be deleted', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'draft' THEN
      RAISE EXCEPTION 'a proposal starts as draft, not %', NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
  END IF;
  IF ROW({columns}) IS DISTINCT FROM ROW({columns.replace("NEW.", "OLD.")})
  THEN
    RAISE EXCEPTION 'the payload of proposal % cannot change; make a new proposal', OLD.id
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.state <> OLD.state AND NOT approvals_legal_transition(OLD.state, NEW.state) THEN
    RAISE EXCEPTION 'proposal % cannot go from % to %', OLD.id, OLD.state, NEW.state
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0002_database_guards")]

    operations = [
        migrations.AddField(
            model_name="proposal",
            name="prediction",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="What the twin predicted, acting and doing nothing; empty: it was not asked.",
            ),
        ),
        migrations.RunSQL(guard(f"{COLUMNS}, NEW.prediction"), guard(COLUMNS)),
    ]
