"""The rules of the whole gate that hold even for somebody with a SQL prompt.

Beyond 0002: every state and pair of `approvals/states.py`; approved only with enough signatures of this round for this
digest (as many people and as many different roles as the proposal's own requirement says, or one emergency approval);
executing only before the deadline and never a drill; a person who edited a proposal signs it only where the requirement
says so; policy versions, windows and reviews are append-only.
"""

from django.db import migrations

BEFORE_COLUMNS = (
    "NEW.kind, NEW.target, NEW.title, NEW.params, NEW.writes, NEW.rationale, NEW.citations, NEW.preconditions, "
    "NEW.expected_effect, NEW.risk, NEW.digest, NEW.requested_by_id, NEW.alarm_id, NEW.created_at, NEW.expires_at, "
    "NEW.prediction"
)
COLUMNS = BEFORE_COLUMNS + (
    ", NEW.steps, NEW.blast_radius, NEW.requirement, NEW.\"case\", NEW.revises_id, NEW.revision, NEW.edited_by_id, "
    "NEW.rolls_back_id, NEW.is_drill"
)

LEGAL = r"""
CREATE CONSTRAINT TRIGGER approvals_state_row AFTER INSERT OR UPDATE OF state ON approvals_proposal
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION approvals_state_has_row();
CREATE OR REPLACE FUNCTION approvals_legal_transition(source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT (source, target) IN (
    ('draft', 'simulated'), ('simulated', 'pending'),
    ('pending', 'approved'), ('pending', 'rejected'), ('pending', 'expired'), ('pending', 'superseded'),
    ('approved', 'executing'), ('approved', 'pending'), ('approved', 'rejected'), ('approved', 'expired'),
    ('approved', 'superseded'),
    ('executing', 'succeeded'), ('executing', 'failed'), ('executing', 'unknown'),
    ('unknown', 'succeeded'), ('unknown', 'failed'),
    ('succeeded', 'verified'), ('succeeded', 'no_effect'), ('succeeded', 'cannot_tell'), ('succeeded', 'rolled_back'),
    ('verified', 'rolled_back'), ('no_effect', 'rolled_back'), ('cannot_tell', 'rolled_back'),
    ('failed', 'rolled_back'))
$$;
"""

SIGNED = r"""
CREATE OR REPLACE FUNCTION approvals_is_signed(asked approvals_proposal) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE people integer; roles integer; emergencies integer; refusals integer;
BEGIN
  SELECT count(DISTINCT user_id) FILTER (WHERE verdict = 'approve'),
         count(DISTINCT role) FILTER (WHERE verdict = 'approve' AND role <> ''),
         count(*) FILTER (WHERE verdict = 'approve' AND is_break_glass),
         count(*) FILTER (WHERE verdict = 'reject')
    INTO people, roles, emergencies, refusals
    FROM approvals_decision
    WHERE proposal_id = asked.id AND digest = asked.digest AND round = asked.round;
  RETURN refusals = 0 AND (emergencies > 0 OR (
    people >= greatest(1, coalesce((asked.requirement->>'signatures')::integer, 1))
    AND roles >= coalesce((asked.requirement->>'distinct_roles')::integer, 0)));
END $$;
"""


def guard(columns: str, more: str) -> str:
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
{more}
  RETURN NEW;
END $$;
"""


MORE = r"""
  IF NEW.round <> OLD.round AND NOT (OLD.state = 'approved' AND NEW.state = 'pending' AND NEW.round = OLD.round + 1) THEN
    RAISE EXCEPTION 'the round of proposal % counts up only when it comes back to the operators', OLD.id
      USING ERRCODE = 'check_violation';
  END IF;
  IF OLD.state = 'approved' AND NEW.state = 'pending' AND NEW.round <> OLD.round + 1 THEN
    RAISE EXCEPTION 'proposal % comes back in a new round: its signatures are void', OLD.id
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.state = 'approved' AND OLD.state <> 'approved' THEN
    IF NOT approvals_is_signed(NEW) THEN
      RAISE EXCEPTION 'proposal % has not the signatures that its requirement asks for', OLD.id
        USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.expires_at <= now() THEN
      RAISE EXCEPTION 'proposal % expired at %', OLD.id, NEW.expires_at USING ERRCODE = 'check_violation';
    END IF;
  END IF;
  IF NEW.state = 'executing' AND OLD.state <> 'executing' THEN
    IF NEW.is_drill THEN
      RAISE EXCEPTION 'proposal % is a drill and is never executed', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.execute_before IS NOT NULL AND NEW.execute_before <= now() THEN
      RAISE EXCEPTION 'the approval of proposal % ended at %', OLD.id, NEW.execute_before
        USING ERRCODE = 'check_violation';
    END IF;
  END IF;
"""

DECISION = r"""
CREATE OR REPLACE FUNCTION approvals_guard_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked approvals_proposal%ROWTYPE;
BEGIN
  SELECT * INTO asked FROM approvals_proposal WHERE id = NEW.proposal_id FOR NO KEY UPDATE;
  IF NEW.digest <> asked.digest THEN
    RAISE EXCEPTION 'decision on proposal % carries digest % but the proposal has %', asked.id, NEW.digest,
      asked.digest USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.round <> asked.round THEN
    RAISE EXCEPTION 'decision on proposal % is for round %, it is in round %', asked.id, NEW.round, asked.round
      USING ERRCODE = 'check_violation';
  END IF;
  IF asked.state <> 'pending' THEN
    RAISE EXCEPTION 'proposal % is %, only a pending proposal is decided', asked.id, asked.state
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.verdict = 'approve' THEN
    IF NEW.user_id = asked.requested_by_id THEN
      RAISE EXCEPTION 'user % asked for proposal % and cannot approve it', NEW.user_id, asked.id
        USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.user_id = asked.edited_by_id AND NOT coalesce((asked.requirement->>'editor_may_sign')::boolean, false) THEN
      RAISE EXCEPTION 'user % edited proposal % and cannot approve it', NEW.user_id, asked.id
        USING ERRCODE = 'check_violation';
    END IF;
  END IF;
  RETURN NEW;
END $$;
"""

EXECUTION = r"""
CREATE OR REPLACE FUNCTION approvals_guard_execution() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked approvals_proposal%ROWTYPE;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'execution % is evidence and cannot be deleted', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF OLD.finished_at IS NOT NULL AND NOT (OLD.outcome = 'unknown' AND NEW.outcome IN ('succeeded', 'failed')) THEN
      RAISE EXCEPTION 'execution % has finished and cannot change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF ROW(NEW.proposal_id, NEW.idempotency_key, NEW.digest) IS DISTINCT FROM
       ROW(OLD.proposal_id, OLD.idempotency_key, OLD.digest) THEN
      RAISE EXCEPTION 'execution % cannot move to another proposal, key or digest', OLD.id
        USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
      RAISE EXCEPTION 'the fence of execution % only counts up', OLD.id USING ERRCODE = 'check_violation';
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
  RETURN NEW;
END $$;

CREATE FUNCTION approvals_guard_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR NEW.token < OLD.token THEN
    RAISE EXCEPTION 'the fencing token of % only counts up', OLD.asset USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_lease_guard BEFORE UPDATE OR DELETE ON approvals_assetlease
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_lease();
CREATE FUNCTION approvals_guard_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.lifted_at IS NOT NULL OR (NEW.reason, NEW.made_by_id, NEW.made_at)
     IS DISTINCT FROM (OLD.reason, OLD.made_by_id, OLD.made_at) THEN
    RAISE EXCEPTION 'a hold can only be lifted, once' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_hold_guard BEFORE UPDATE OR DELETE ON approvals_gatehold
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_hold();
"""

POLICY = r"""
CREATE TRIGGER approvals_policy_append_only BEFORE UPDATE OR DELETE ON approvals_policyversion
  FOR EACH ROW EXECUTE FUNCTION approvals_append_only();
CREATE TRIGGER approvals_review_append_only BEFORE UPDATE OR DELETE ON approvals_breakglassreview
  FOR EACH ROW EXECUTE FUNCTION approvals_append_only();
CREATE FUNCTION approvals_guard_window() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.cancelled_at IS NOT NULL OR
     ROW(NEW.name, NEW.kind, NEW.starts_at, NEW.ends_at, NEW.weekly, NEW.match, NEW.reason, NEW.made_by_id, NEW.made_at)
     IS DISTINCT FROM
     ROW(OLD.name, OLD.kind, OLD.starts_at, OLD.ends_at, OLD.weekly, OLD.match, OLD.reason, OLD.made_by_id, OLD.made_at)
  THEN
    RAISE EXCEPTION 'window % can only be cancelled', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_window_guard BEFORE UPDATE OR DELETE ON approvals_changewindow
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_window();
CREATE FUNCTION approvals_guard_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM approvals_breakglass b JOIN approvals_decision d ON d.id = b.decision_id
             WHERE b.id = NEW.break_glass_id AND d.user_id = NEW.reviewer_id) THEN
    RAISE EXCEPTION 'user % cannot review their own emergency approval', NEW.reviewer_id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_review_guard BEFORE INSERT ON approvals_breakglassreview
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_review();
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0007_gate")]

    # One way: rows in the new states could not live under the old rules.
    operations = [migrations.RunSQL(LEGAL + SIGNED + guard(COLUMNS, MORE) + DECISION + EXECUTION + POLICY)]
