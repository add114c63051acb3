"""Words of the passages as packed postings, kept by triggers; the vectors' index by model.

A row of `rag_posting` holds what one lexeme does in one block of 4,096 passage ids, six bytes per
passage: id within the block, words of the passage, occurrences in title or section (one byte),
occurrences in the text (one byte), big-endian. The empty lexeme lists every passage of the block.
`rag_segment` holds the runs of passage ids of a revision. Both follow `rag_passage` in the same
transaction (docs/retrieval.md).
"""

from django.db import migrations

SQL = r"""
CREATE TABLE rag_posting (
  lexeme text COLLATE "C" NOT NULL,
  block integer NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (lexeme, block)
) WITH (fillfactor = 80, toast_tuple_target = 8160);
ALTER TABLE rag_posting ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE rag_segment (
  first_id bigint PRIMARY KEY,
  last_id bigint NOT NULL,
  revision_id bigint NOT NULL,
  passages integer NOT NULL,
  words bigint NOT NULL
);
CREATE INDEX rag_segment_revision ON rag_segment (revision_id);

-- One writer at a time, until its commit: two that append to the same rows would lose or wait for
-- each other in changing order.
CREATE FUNCTION rag_postings_lock() RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('rag_posting', 0))
$$;

CREATE FUNCTION rag_segments_write(revisions bigint[]) RETURNS void LANGUAGE sql AS $$
  DELETE FROM rag_segment WHERE revision_id = ANY(revisions);
  INSERT INTO rag_segment (first_id, last_id, revision_id, passages, words)
  SELECT min(id), max(id), revision_id, count(*), sum(words) FROM (
    SELECT id, revision_id, words,
           id - row_number() OVER (PARTITION BY revision_id ORDER BY id) AS island
    FROM rag_passage WHERE revision_id = ANY(revisions)
  ) AS runs GROUP BY revision_id, island
$$;

CREATE FUNCTION rag_postings_rebuild(blocks integer[]) RETURNS void LANGUAGE sql AS $$
  DELETE FROM rag_posting WHERE block = ANY(blocks);
  INSERT INTO rag_posting (lexeme, block, data)
  SELECT t.lexeme, (p.id / 4096)::integer, string_agg(
           int2send((p.id % 4096)::int2) || int2send(least(p.words, 32767)::int2)
           || int2send((least(a.titles, 127) * 256
                        + least(greatest(cardinality(t.weights) - a.titles,
                                         CASE WHEN t.weights IS NULL THEN 1 ELSE 0 END), 255))::int2),
           '' ORDER BY p.id)
  FROM unnest(blocks) AS b(block)
  JOIN rag_passage p ON p.id >= b.block * 4096::bigint AND p.id < (b.block + 1) * 4096::bigint
  CROSS JOIN LATERAL (
    SELECT lexeme, weights FROM unnest(p.tsv) UNION ALL SELECT '', NULL) AS t
  CROSS JOIN LATERAL (
    SELECT coalesce(cardinality(array_positions(t.weights, 'A')), 0) AS titles) AS a
  GROUP BY 1, 2
$$;

CREATE FUNCTION rag_passages_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM fresh) THEN RETURN NULL; END IF;
  PERFORM rag_postings_lock();
  INSERT INTO rag_segment (first_id, last_id, revision_id, passages, words)
  SELECT min(id), max(id), revision_id, count(*), sum(words) FROM (
    SELECT id, revision_id, words,
           id - row_number() OVER (PARTITION BY revision_id ORDER BY id) AS island
    FROM fresh
  ) AS runs GROUP BY revision_id, island;
  INSERT INTO rag_posting AS p (lexeme, block, data)
  SELECT t.lexeme, (f.id / 4096)::integer, string_agg(
           int2send((f.id % 4096)::int2) || int2send(least(f.words, 32767)::int2)
           || int2send((least(a.titles, 127) * 256
                        + least(greatest(cardinality(t.weights) - a.titles,
                                         CASE WHEN t.weights IS NULL THEN 1 ELSE 0 END), 255))::int2),
           '' ORDER BY f.id)
  FROM fresh f
  CROSS JOIN LATERAL (
    SELECT lexeme, weights FROM unnest(f.tsv) UNION ALL SELECT '', NULL) AS t
  CROSS JOIN LATERAL (
    SELECT coalesce(cardinality(array_positions(t.weights, 'A')), 0) AS titles) AS a
  GROUP BY 1, 2
  ORDER BY 1, 2
  ON CONFLICT (lexeme, block) DO UPDATE SET data = p.data || excluded.data;
  RETURN NULL;
END $$;

CREATE FUNCTION rag_passages_updated() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moved bigint[];
  blocks integer[];
BEGIN
  SELECT array_agg(DISTINCT r.id) FILTER (
           WHERE o.revision_id <> n.revision_id OR o.words <> n.words OR o.id <> n.id),
         array_agg(DISTINCT (i.id / 4096)::integer) FILTER (
           WHERE o.tsv <> n.tsv OR o.words <> n.words OR o.id <> n.id)
    INTO moved, blocks
    FROM stale o JOIN fresh n ON n.id = o.id
    CROSS JOIN LATERAL (VALUES (o.revision_id), (n.revision_id)) AS r(id)
    CROSS JOIN LATERAL (VALUES (o.id), (n.id)) AS i(id);
  IF moved IS NULL AND blocks IS NULL THEN RETURN NULL; END IF;
  PERFORM rag_postings_lock();
  IF moved IS NOT NULL THEN PERFORM rag_segments_write(moved); END IF;
  IF blocks IS NOT NULL THEN PERFORM rag_postings_rebuild(blocks); END IF;
  RETURN NULL;
END $$;

-- What is left of deleted passages in the postings is in no segment, and so in no scope; their
-- blocks are rebuilt once half of a block is gone.
CREATE FUNCTION rag_passages_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  blocks integer[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM stale) THEN RETURN NULL; END IF;
  PERFORM rag_postings_lock();
  PERFORM rag_segments_write((SELECT array_agg(DISTINCT revision_id) FROM stale));
  SELECT array_agg(b.block) INTO blocks
    FROM (SELECT DISTINCT (id / 4096)::integer AS block FROM stale) AS b
    JOIN rag_posting roster ON roster.lexeme = '' AND roster.block = b.block
   WHERE length(roster.data) / 6 >= 2 * (
     SELECT count(*) FROM rag_passage p
     WHERE p.id >= b.block * 4096::bigint AND p.id < (b.block + 1) * 4096::bigint);
  IF blocks IS NOT NULL THEN PERFORM rag_postings_rebuild(blocks); END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION rag_passages_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM rag_posting;
  DELETE FROM rag_segment;
  RETURN NULL;
END $$;

CREATE TRIGGER rag_passages_inserted AFTER INSERT ON rag_passage
  REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION rag_passages_inserted();
CREATE TRIGGER rag_passages_updated AFTER UPDATE ON rag_passage
  REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION rag_passages_updated();
CREATE TRIGGER rag_passages_deleted AFTER DELETE ON rag_passage
  REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION rag_passages_deleted();
CREATE TRIGGER rag_passages_truncated AFTER TRUNCATE ON rag_passage
  FOR EACH STATEMENT EXECUTE FUNCTION rag_passages_truncated();

SELECT rag_segments_write((SELECT array_agg(DISTINCT revision_id) FROM rag_passage));
SELECT rag_postings_rebuild((SELECT array_agg(DISTINCT (id / 4096)::integer) FROM rag_passage));

DO $$
DECLARE
  m record;
BEGIN
  FOR m IN SELECT id, dimensions FROM rag_embeddingmodel LOOP
    EXECUTE format(
      'CREATE INDEX IF NOT EXISTS rag_vector_hnsw_%s ON rag_passagevector '
      'USING hnsw ((embedding::halfvec(%s)) halfvec_cosine_ops) '
      'WITH (m = 16, ef_construction = 64) WHERE model_id = %s', m.id, m.dimensions, m.id);
  END LOOP;
END $$;
"""

REVERSE = """
DROP TRIGGER rag_passages_inserted ON rag_passage;
DROP TRIGGER rag_passages_updated ON rag_passage;
DROP TRIGGER rag_passages_deleted ON rag_passage;
DROP TRIGGER rag_passages_truncated ON rag_passage;
DROP FUNCTION rag_passages_inserted, rag_passages_updated, rag_passages_deleted,
  rag_passages_truncated, rag_postings_rebuild, rag_segments_write, rag_postings_lock;
DROP TABLE rag_posting, rag_segment;
DO $$
DECLARE
  m record;
BEGIN
  FOR m IN SELECT id FROM rag_embeddingmodel LOOP
    EXECUTE format('DROP INDEX IF EXISTS rag_vector_hnsw_%s', m.id);
  END LOOP;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("rag", "0003_intake")]

    operations = [
        migrations.RemoveIndex(model_name="passage", name="rag_passage_tsv"),
        migrations.RunSQL(SQL, REVERSE),
    ]
