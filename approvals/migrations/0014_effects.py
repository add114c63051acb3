"""Effects, drills and hand-overs that hold even for somebody with a SQL prompt.

An effect gets its verdict once. A drill's flaw is fixed when it is planted, it belongs to a
proposal that is marked as one, and it is revealed once. A hand-over says what
it said; it is taken over once, by somebody else.
"""

from django.db import migrations

FORWARD = r"""
CREATE FUNCTION approvals_guard_drill() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NOT EXISTS (SELECT 1 FROM approvals_proposal WHERE id = NEW.proposal_id AND is_drill) THEN
      RAISE EXCEPTION 'proposal % is not marked as a drill', NEW.proposal_id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' OR OLD.revealed_at IS NOT NULL OR ROW(NEW.proposal_id, NEW.flaw, NEW.planted_at)
     IS DISTINCT FROM ROW(OLD.proposal_id, OLD.flaw, OLD.planted_at) THEN
    RAISE EXCEPTION 'drill % can only be revealed, once', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_drill_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals_drill
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_drill();

CREATE FUNCTION approvals_guard_handover() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.taken_at IS NOT NULL OR
     ROW(NEW.written_by_id, NEW.written_at, NEW.since, NEW.text, NEW.facts) IS DISTINCT FROM
     ROW(OLD.written_by_id, OLD.written_at, OLD.since, OLD.text, OLD.facts) THEN
    RAISE EXCEPTION 'hand-over % can only be taken over, once', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.taken_by_id = NEW.written_by_id THEN
    RAISE EXCEPTION 'user % wrote hand-over % and cannot take it over', NEW.taken_by_id, OLD.id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_handover_guard BEFORE UPDATE OR DELETE ON approvals_handovernote
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_handover();

CREATE FUNCTION approvals_guard_effect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.verdict <> '' OR NEW.proposal_id <> OLD.proposal_id THEN
    RAISE EXCEPTION 'effect % is evidence: it has its verdict once and is never deleted', OLD.id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_effect_guard BEFORE UPDATE OR DELETE ON approvals_effect
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_effect();
"""

BACKWARD = r"""
DROP TRIGGER approvals_effect_guard ON approvals_effect;
DROP FUNCTION approvals_guard_effect();
DROP TRIGGER approvals_handover_guard ON approvals_handovernote;
DROP FUNCTION approvals_guard_handover();
DROP TRIGGER approvals_drill_guard ON approvals_drill;
DROP FUNCTION approvals_guard_drill();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0013_agent")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
