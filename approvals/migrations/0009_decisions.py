"""What a signature needs beyond its being there, and what an emergency leaves behind.

A signature counts only with a role that the requirement asks for at least, with a reason and a
proof of identity where it asks for them. One person alone is enough only with a reason of a
sentence, a proof of identity and the row that others have to review; that row is never deleted and
closes once, with its reviews.
"""

from django.db import migrations

SIGNED = r"""
CREATE FUNCTION approvals_role_rank(role text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT array_position(ARRAY['viewer', 'operator', 'supervisor', 'admin'], role)
$$;
CREATE OR REPLACE FUNCTION approvals_is_signed(asked approvals_proposal) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE people integer; roles integer; emergencies integer; refusals integer;
BEGIN
  SELECT count(DISTINCT user_id) FILTER (WHERE counts), count(DISTINCT role) FILTER (WHERE counts),
         count(*) FILTER (WHERE verdict = 'approve' AND is_break_glass AND reauthenticated <> ''
                          AND length(btrim(reason)) >= 20),
         count(*) FILTER (WHERE verdict = 'reject')
    INTO people, roles, emergencies, refusals
    FROM (
      SELECT *, verdict = 'approve' AND NOT is_break_glass
        AND approvals_role_rank(role)
            >= approvals_role_rank(coalesce(asked.requirement->>'least_role', 'operator'))
        AND (btrim(reason) <> '' OR NOT coalesce((asked.requirement->>'reason')::boolean, false))
        AND (reauthenticated <> '' OR NOT coalesce((asked.requirement->>'reauthenticate')::boolean, false)) AS counts
      FROM approvals_decision
      WHERE proposal_id = asked.id AND digest = asked.digest AND round = asked.round) given;
  RETURN refusals = 0 AND (emergencies > 0 OR (
    people >= greatest(1, coalesce((asked.requirement->>'signatures')::integer, 1))
    AND roles >= coalesce((asked.requirement->>'distinct_roles')::integer, 0)));
END $$;
"""

BREAK_GLASS = r"""
CREATE FUNCTION approvals_emergency_has_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM approvals_breakglass WHERE decision_id = NEW.id) THEN
    RAISE EXCEPTION 'emergency approval % of proposal % has no row to be reviewed', NEW.id, NEW.proposal_id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER approvals_emergency_row AFTER INSERT ON approvals_decision
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.is_break_glass)
  EXECUTE FUNCTION approvals_emergency_has_row();
CREATE FUNCTION approvals_guard_break_glass() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.closed_at IS NOT NULL OR NOT EXISTS (
      SELECT 1 FROM approvals_decision WHERE id = NEW.decision_id AND is_break_glass) THEN
      RAISE EXCEPTION 'a review is opened for an emergency approval, and open' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' OR OLD.closed_at IS NOT NULL
     OR ROW(NEW.decision_id, NEW.waived, NEW.reviews_needed, NEW.due_at)
        IS DISTINCT FROM ROW(OLD.decision_id, OLD.waived, OLD.reviews_needed, OLD.due_at)
     OR (SELECT count(*) FROM approvals_breakglassreview WHERE break_glass_id = OLD.id) < OLD.reviews_needed THEN
    RAISE EXCEPTION 'emergency approval % can only be closed, once, by its % reviews', OLD.id, OLD.reviews_needed
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_break_glass_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals_breakglass
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_break_glass();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0008_gate_guards")]

    operations = [migrations.RunSQL(SIGNED + BREAK_GLASS)]
