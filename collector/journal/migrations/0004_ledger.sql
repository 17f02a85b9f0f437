-- What is removed is accounted for, for ever. What is missing by now was not counted by cause: one row for
-- all of it, with the time of this migration. The highest seq pruned is the last that is missing.
CREATE TABLE removed (
  cause     TEXT PRIMARY KEY,
  count     INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq  INTEGER NOT NULL,
  first_at  INTEGER NOT NULL,
  last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO removed
SELECT
  'before_ledger',
  last - stored,
  CASE WHEN first > 1 THEN 1 ELSE coalesce(
    (SELECT seq + 1 FROM log AS here WHERE NOT EXISTS (SELECT 1 FROM log WHERE log.seq = here.seq + 1)
      ORDER BY seq LIMIT 1), 1) END,
  coalesce(pruned, last),
  now,
  now
FROM (
  SELECT
    (SELECT count(*) FROM log) AS stored,
    (SELECT min(seq) FROM log) AS first,
    max(coalesce((SELECT max(seq) FROM log), 0),
      coalesce((SELECT value FROM facts WHERE name = 'last_seq'), 0)) AS last,
    (SELECT value FROM facts WHERE name = 'last_seq') AS pruned,
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000 AS now
)
WHERE last > stored;
DELETE FROM facts WHERE name = 'holes';
CREATE TABLE ring (
  kind INTEGER NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (kind, seq)
) STRICT, WITHOUT ROWID;
