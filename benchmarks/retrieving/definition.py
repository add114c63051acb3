"""BM25 as it is defined, summed in SQL over every passage in force: right, and slow."""

BM25_BY_DEFINITION = """
WITH terms AS (
  SELECT * FROM unnest(%(lexemes)s::text[], %(weights)s::float8[]) AS t(lexeme, weight)
), living AS (
  SELECT p.id, p.words, p.tsv FROM rag_passage p JOIN rag_revision r ON r.id = p.revision_id
  WHERE r.state = 'ready' AND r.superseded_at IS NULL
), corpus AS (
  SELECT count(*)::float8 AS n, greatest(avg(words), 1)::float8 AS mean_words FROM living
), matched AS (
  SELECT l.id, l.words, t.lexeme, t.weight,
         coalesce((SELECT sum(CASE WHEN w = 'A' THEN %(title)s::float8 ELSE 1 END)
                   FROM unnest(u.weights) AS w), 1)::float8 AS tf
  FROM living l CROSS JOIN LATERAL unnest(l.tsv) AS u JOIN terms t ON t.lexeme = u.lexeme
), idf AS (
  SELECT m.lexeme, ln(1 + (c.n - count(*) + 0.5) / (count(*) + 0.5)) AS idf
  FROM matched m CROSS JOIN corpus c GROUP BY m.lexeme, c.n
)
SELECT m.id, sum(m.weight * i.idf * m.tf * (%(k1)s + 1)
             / (m.tf + %(k1)s * (1 - %(b)s + %(b)s * m.words / c.mean_words)))
FROM matched m JOIN idf i USING (lexeme) CROSS JOIN corpus c GROUP BY m.id
"""
