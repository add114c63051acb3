"""The rules that hold even for somebody with a SQL prompt.

* a proposal starts as a draft, moves only along legal pairs, keeps its payload for ever and cannot be deleted;
* at commit its state equals the newest transition row;
* a decision carries the proposal's digest, and an approval is never the requester's own;
* an execution exists only for an executing proposal whose digest somebody approved;
* audit entries, transitions and decisions are append-only; audit entries also chain: gapless seq, matching hash.
"""

from django.db import migrations

FORWARD = r"""
CREATE FUNCTION approvals_legal_transition(source text, target text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT (source, target) IN (
    ('draft', 'pending'),
    ('pending', 'approved'), ('pending', 'rejected'), ('pending', 'expired'),
    ('approved', 'executing'),
    ('executing', 'succeeded'), ('executing', 'failed'),
    ('succeeded', 'verified'), ('succeeded', 'no_effect'))
$$;

CREATE FUNCTION approvals_guard_proposal() RETURNS trigger LANGUAGE plpgsql AS $$
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
  IF ROW(NEW.kind, NEW.target, NEW.title, NEW.params, NEW.writes, NEW.rationale, NEW.citations, NEW.preconditions,
         NEW.expected_effect, NEW.risk, NEW.digest, NEW.requested_by_id, NEW.alarm_id, NEW.created_at, NEW.expires_at)
     IS DISTINCT FROM
     ROW(OLD.kind, OLD.target, OLD.title, OLD.params, OLD.writes, OLD.rationale, OLD.citations, OLD.preconditions,
         OLD.expected_effect, OLD.risk, OLD.digest, OLD.requested_by_id, OLD.alarm_id, OLD.created_at, OLD.expires_at)
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
CREATE TRIGGER approvals_proposal_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals_proposal
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_proposal();

CREATE FUNCTION approvals_state_has_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE current_state text; last_state text;
BEGIN
  SELECT state INTO current_state FROM approvals_proposal WHERE id = NEW.id;
  SELECT to_state INTO last_state FROM approvals_proposaltransition
    WHERE proposal_id = NEW.id ORDER BY id DESC LIMIT 1;
  IF current_state IS DISTINCT FROM coalesce(last_state, 'draft') THEN
    RAISE EXCEPTION 'proposal % is % but its newest transition row says %', NEW.id, current_state,
      coalesce(last_state, 'draft') USING ERRCODE = 'check_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER approvals_state_row AFTER INSERT OR UPDATE OF state ON approvals_proposal
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION approvals_state_has_row();

CREATE FUNCTION approvals_guard_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked approvals_proposal%ROWTYPE;
BEGIN
  SELECT * INTO asked FROM approvals_proposal WHERE id = NEW.proposal_id;
  IF NEW.digest <> asked.digest THEN
    RAISE EXCEPTION 'decision on proposal % carries digest % but the proposal has %', asked.id, NEW.digest,
      asked.digest USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.verdict = 'approve' AND NEW.user_id = asked.requested_by_id THEN
    RAISE EXCEPTION 'user % asked for proposal % and cannot approve it', NEW.user_id, asked.id
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_decision_guard BEFORE INSERT ON approvals_decision
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_decision();

CREATE FUNCTION approvals_guard_execution() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE asked approvals_proposal%ROWTYPE;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'execution % is evidence and cannot be deleted', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF OLD.finished_at IS NOT NULL THEN
      RAISE EXCEPTION 'execution % has finished and cannot change', OLD.id USING ERRCODE = 'check_violation';
    END IF;
    IF ROW(NEW.proposal_id, NEW.idempotency_key, NEW.digest) IS DISTINCT FROM
       ROW(OLD.proposal_id, OLD.idempotency_key, OLD.digest) THEN
      RAISE EXCEPTION 'execution % cannot move to another proposal, key or digest', OLD.id
        USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
  END IF;
  SELECT * INTO asked FROM approvals_proposal WHERE id = NEW.proposal_id FOR NO KEY UPDATE;
  IF asked.state <> 'executing' THEN
    RAISE EXCEPTION 'proposal % is %, only an executing proposal can have an execution', asked.id, asked.state
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.digest <> asked.digest OR NOT EXISTS (
    SELECT 1 FROM approvals_decision
    WHERE proposal_id = asked.id AND verdict = 'approve' AND digest = asked.digest) THEN
    RAISE EXCEPTION 'proposal % has no approval for digest %', asked.id, NEW.digest USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_execution_guard BEFORE INSERT OR UPDATE OR DELETE ON approvals_execution
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_execution();

CREATE FUNCTION approvals_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER approvals_transition_append_only BEFORE UPDATE OR DELETE ON approvals_proposaltransition
  FOR EACH ROW EXECUTE FUNCTION approvals_append_only();
CREATE TRIGGER approvals_decision_append_only BEFORE UPDATE OR DELETE ON approvals_decision
  FOR EACH ROW EXECUTE FUNCTION approvals_append_only();
CREATE TRIGGER approvals_audit_append_only BEFORE UPDATE OR DELETE ON approvals_auditentry
  FOR EACH ROW EXECUTE FUNCTION approvals_append_only();
CREATE TRIGGER approvals_audit_no_truncate BEFORE TRUNCATE ON approvals_auditentry
  FOR EACH STATEMENT EXECUTE FUNCTION approvals_append_only();

CREATE FUNCTION approvals_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last_seq bigint; last_hash text;
BEGIN
  SELECT seq, hash INTO last_seq, last_hash FROM approvals_auditentry ORDER BY seq DESC LIMIT 1;
  IF NEW.seq <> coalesce(last_seq, 0) + 1 OR NEW.prev_hash <> coalesce(last_hash, repeat('0', 64)) THEN
    RAISE EXCEPTION 'audit entry % does not continue the chain after %', NEW.seq, coalesce(last_seq, 0)
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER approvals_audit_guard BEFORE INSERT ON approvals_auditentry
  FOR EACH ROW EXECUTE FUNCTION approvals_guard_audit();
"""

BACKWARD = r"""
DROP TRIGGER approvals_audit_guard ON approvals_auditentry;
DROP TRIGGER approvals_audit_no_truncate ON approvals_auditentry;
DROP TRIGGER approvals_audit_append_only ON approvals_auditentry;
DROP TRIGGER approvals_decision_append_only ON approvals_decision;
DROP TRIGGER approvals_transition_append_only ON approvals_proposaltransition;
DROP TRIGGER approvals_execution_guard ON approvals_execution;
DROP TRIGGER approvals_decision_guard ON approvals_decision;
DROP TRIGGER approvals_state_row ON approvals_proposal;
DROP TRIGGER approvals_proposal_guard ON approvals_proposal;
DROP FUNCTION approvals_guard_audit();
DROP FUNCTION approvals_append_only();
DROP FUNCTION approvals_guard_execution();
DROP FUNCTION approvals_guard_decision();
DROP FUNCTION approvals_state_has_row();
DROP FUNCTION approvals_guard_proposal();
DROP FUNCTION approvals_legal_transition(text, text);
"""


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
