"""Steps, read-back and progress of an execution, and what the database holds about them.

An execution writes only what its proposal says: tags, values and keys are fixed when it is made. After it has finished,
only an unknown outcome may still be settled, and the read-back noted once.
"""

from django.db import migrations, models

GUARD = r"""
CREATE FUNCTION approvals_orders(writes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_array(w->'tag', w->'value', w->'body') ORDER BY n), '[]')
  FROM jsonb_array_elements(writes) WITH ORDINALITY AS each(w, n)
$$;
CREATE FUNCTION approvals_keys(writes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_agg(w->'key' ORDER BY n), '[]')
  FROM jsonb_array_elements(writes) WITH ORDINALITY AS each(w, n)
$$;
CREATE FUNCTION approvals_without_read_back(writes jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_agg(w - ARRAY['confirmed', 'confirm_detail'] ORDER BY n), '[]')
  FROM jsonb_array_elements(writes) WITH ORDINALITY AS each(w, n)
$$;

CREATE OR REPLACE FUNCTION approvals_guard_execution() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked approvals_proposal%ROWTYPE;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'execution % is evidence and cannot be deleted', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF ROW(NEW.proposal_id, NEW.idempotency_key, NEW.digest, NEW.started_at) IS DISTINCT FROM
       ROW(OLD.proposal_id, OLD.idempotency_key, OLD.digest, OLD.started_at) THEN
      RAISE EXCEPTION 'execution % cannot move to another proposal, key or digest', OLD.id
        USING ERRCODE = 'check_violation';
    END IF;
    IF approvals_orders(NEW.writes) <> approvals_orders(OLD.writes)
       OR approvals_keys(NEW.writes) <> approvals_keys(OLD.writes) THEN
      RAISE EXCEPTION 'execution % writes what was signed: its orders and keys cannot change', OLD.id
        USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
      RAISE EXCEPTION 'the fence of execution % only counts up', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.finished_at IS NULL OR (OLD.outcome = 'unknown' AND NEW.outcome IN ('succeeded', 'failed')) THEN
      RETURN NEW;
    END IF;
    IF OLD.confirmed_at IS NOT NULL OR NEW.confirmed_at IS NULL
       OR approvals_without_read_back(NEW.writes) <> approvals_without_read_back(OLD.writes)
       OR ROW(NEW.preconditions, NEW.fence, NEW.holds, NEW.steps, NEW.stop_requested_at, NEW.stop_requested_by_id,
              NEW.stop_reason, NEW.finished_at, NEW.outcome, NEW.detail, NEW.progressed_at) IS DISTINCT FROM
          ROW(OLD.preconditions, OLD.fence, OLD.holds, OLD.steps, OLD.stop_requested_at, OLD.stop_requested_by_id,
              OLD.stop_reason, OLD.finished_at, OLD.outcome, OLD.detail, OLD.progressed_at) THEN
      RAISE EXCEPTION 'execution % has finished and cannot change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
  END IF;
  SELECT * INTO asked FROM approvals_proposal WHERE id = NEW.proposal_id FOR NO KEY UPDATE;
  IF asked.state <> 'executing' THEN
    RAISE EXCEPTION 'proposal % is %, only an executing proposal can have an execution', asked.id, asked.state
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.digest <> asked.digest OR NOT approvals_is_signed(asked) THEN
    RAISE EXCEPTION 'proposal % has no approval for digest %', asked.id, NEW.digest USING ERRCODE = 'check_violation';
  END IF;
  IF approvals_orders(NEW.writes) <> approvals_orders(asked.writes) THEN
    RAISE EXCEPTION 'the orders of the execution of proposal % are not those that were signed', asked.id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0009_decisions")]

    operations = [
        migrations.AlterField(
            model_name="execution",
            name="holds",
            field=models.JSONField(
                default=list,
                help_text="[{step, kind, title, reached_at, due_at, released_by, released_at, note}].",
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="steps",
            field=models.JSONField(
                default=list,
                help_text="Steps that were begun, [{n, state, since, due_at, confirm}].",
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="progressed_at",
            field=models.DateTimeField(
                blank=True, help_text="When a worker or a person last moved it on.", null=True
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="confirmed_at",
            field=models.DateTimeField(
                blank=True, help_text="When the read-back from telemetry ended.", null=True
            ),
        ),
        # One way: finished executions of before have no read-back.
        migrations.RunSQL(GUARD),
    ]
