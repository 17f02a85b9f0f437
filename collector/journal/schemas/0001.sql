-- The journal of collector, schema version 1. Everything below `log` and its dictionaries is derived
-- and can be built anew (`collector reindex`). Absent texts are '' and absent numbers 0; the view
-- `entries` shows them as NULL. Times are microseconds since the epoch, UTC.

-- Facts about this journal: journal_id, tag, hmac_key, created_at, last_seq (the highest seq ever
-- pruned, so that none is handed out twice), followers' cursors and settings changed at run time.
CREATE TABLE facts (
  name  TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- The eight texts by which entries are counted, stored once and checked once.
CREATE TABLE kinds (
  kind        INTEGER PRIMARY KEY,
  action      TEXT NOT NULL,
  category    TEXT NOT NULL,
  outcome     TEXT NOT NULL,
  severity    TEXT NOT NULL,
  source      TEXT NOT NULL,
  channel     TEXT NOT NULL,
  mode        TEXT NOT NULL,
  object_type TEXT NOT NULL,
  UNIQUE (action, category, outcome, severity, source, channel, mode, object_type)
) STRICT;

-- Actors, the people they stand in for, and second parties: snapshots as they were given.
CREATE TABLE principals (
  principal INTEGER PRIMARY KEY,
  type      TEXT NOT NULL,
  id        TEXT NOT NULL,
  name      TEXT NOT NULL,
  role      TEXT NOT NULL,
  email     TEXT NOT NULL,
  UNIQUE (id, type, name, role, email)
) STRICT;
CREATE INDEX principals_by_name ON principals (name);

-- Who handed events in: a JSON object without the pid, which stands in the log.
CREATE TABLE producers (
  producer INTEGER PRIMARY KEY,
  body     TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE scopes (
  scope     INTEGER PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  org_id    TEXT NOT NULL,
  UNIQUE (tenant_id, org_id)
) STRICT;

-- The log itself: one row an entry, appended and, by retention, removed; never changed.
CREATE TABLE log (
  seq            INTEGER PRIMARY KEY,
  id             BLOB    NOT NULL,  -- 16 bytes where the producer chose it, else empty: see `entries`
  occurred_at    INTEGER NOT NULL,
  delay          INTEGER NOT NULL,  -- recorded_at - occurred_at
  kind           INTEGER NOT NULL,
  producer       INTEGER NOT NULL,
  pid            INTEGER NOT NULL,
  actor          INTEGER NOT NULL,
  on_behalf_of   INTEGER NOT NULL,
  object_id      TEXT    NOT NULL,
  object_name    TEXT    NOT NULL,
  target         INTEGER NOT NULL,
  scope          INTEGER NOT NULL,
  ip             TEXT    NOT NULL,
  correlation_id TEXT    NOT NULL,
  causation_id   TEXT    NOT NULL,
  message        TEXT    NOT NULL,
  metadata       TEXT    NOT NULL   -- compact JSON, '' for {}
) STRICT;

-- Versions of audited resources: which entry changed what.
CREATE TABLE versions (
  seq         INTEGER PRIMARY KEY,
  slug        TEXT NOT NULL,
  object_id   TEXT NOT NULL,
  change_type TEXT NOT NULL,
  changes     TEXT NOT NULL         -- JSON [{"field","old","new"}]
) STRICT;
CREATE INDEX versions_by_object ON versions (slug, object_id, seq);

-- The last state of each audited object, outside retention, so that the next difference is right.
CREATE TABLE states (
  slug      TEXT NOT NULL,
  object_id TEXT NOT NULL,
  state     TEXT NOT NULL,          -- JSON, redacted
  PRIMARY KEY (slug, object_id)
) STRICT, WITHOUT ROWID;

-- The device registry: one JSON object a device.
CREATE TABLE devices (
  id   TEXT PRIMARY KEY,
  body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- ── derived by followers ────────────────────────────────────────────────────────────────────────

-- Ids that producers chose, behind the tail whose ids the writer keeps in memory.
CREATE TABLE ids (
  id  BLOB PRIMARY KEY,
  seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For each segment of 16,384 seqs and each term: where in the segment the term occurs, as 16-bit
-- little-endian offsets or, from 1,024 of them on, as a bitmap of 2,048 bytes.
CREATE TABLE postings (
  segment INTEGER NOT NULL,
  term    BLOB    NOT NULL,
  offsets BLOB    NOT NULL,
  PRIMARY KEY (segment, term)
) STRICT, WITHOUT ROWID;

-- The same for the words of the full text.
CREATE TABLE words (
  segment INTEGER NOT NULL,
  word    TEXT    NOT NULL,
  offsets BLOB    NOT NULL,
  PRIMARY KEY (segment, word)
) STRICT, WITHOUT ROWID;

-- For each 1,024 seqs the least and greatest occurred_at: where to look for a range of time.
CREATE TABLE chunks (
  chunk    INTEGER PRIMARY KEY,
  least    INTEGER NOT NULL,
  greatest INTEGER NOT NULL
) STRICT;

-- The sum of the CRC-32s of the rows of each 1,024 seqs, so that `verify` finds what SQLite cannot.
CREATE TABLE checksums (
  chunk INTEGER PRIMARY KEY,
  total INTEGER NOT NULL
) STRICT;

-- Counts by hour (span 3600) and day (span 86400); `start` is in units of span since the epoch.
CREATE TABLE totals (
  span  INTEGER NOT NULL,
  start INTEGER NOT NULL,
  kind  INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (span, start, kind)
) STRICT, WITHOUT ROWID;

-- ── for people with an SQLite shell ─────────────────────────────────────────────────────────────

CREATE VIEW entries AS
SELECT
  log.seq,
  CASE WHEN log.id <> x'' THEN
    lower(substr(hex(log.id), 1, 8) || '-' || substr(hex(log.id), 9, 4) || '-'
      || substr(hex(log.id), 13, 4) || '-' || substr(hex(log.id), 17, 4) || '-'
      || substr(hex(log.id), 21))
  ELSE
    printf('%08x-%04x-7%03x-%04x-%012x',
      ((log.occurred_at + log.delay) / 1000) >> 16, ((log.occurred_at + log.delay) / 1000) & 65535,
      (log.occurred_at + log.delay) % 1000, 32768 | (SELECT value FROM facts WHERE name = 'tag'), log.seq)
  END AS id,
  strftime('%Y-%m-%dT%H:%M:%S',
      (log.occurred_at - (log.occurred_at < 0) * 999999) / 1000000, 'unixepoch')
    || printf('.%06dZ', (log.occurred_at % 1000000 + 1000000) % 1000000) AS occurred_at,
  strftime('%Y-%m-%dT%H:%M:%S',
      ((log.occurred_at + log.delay) - ((log.occurred_at + log.delay) < 0) * 999999) / 1000000, 'unixepoch')
    || printf('.%06dZ', ((log.occurred_at + log.delay) % 1000000 + 1000000) % 1000000) AS recorded_at,
  kinds.action, kinds.category, kinds.outcome, kinds.severity, kinds.source,
  CASE WHEN log.pid <> 0
    THEN substr(producers.body, 1, length(producers.body) - 1) || ',"pid":' || log.pid || '}'
    ELSE producers.body END AS producer,
  nullif(actor.type, '') AS actor_type, nullif(actor.id, '') AS actor_id,
  nullif(actor.name, '') AS actor_name, nullif(actor.role, '') AS actor_role,
  nullif(actor.email, '') AS actor_email,
  nullif(behalf.type, '') AS on_behalf_of_type, nullif(behalf.id, '') AS on_behalf_of_id,
  nullif(behalf.name, '') AS on_behalf_of_name,
  nullif(kinds.object_type, '') AS object_type,
  nullif(log.object_id, '') AS object_id,
  nullif(log.object_name, '') AS object_name,
  nullif(target.type, '') AS target_type, nullif(target.id, '') AS target_id,
  nullif(target.name, '') AS target_name,
  nullif(kinds.channel, '') AS channel,
  nullif(kinds.mode, '') AS mode,
  nullif(scopes.tenant_id, '') AS tenant_id,
  nullif(scopes.org_id, '') AS org_id,
  nullif(log.ip, '') AS ip,
  nullif(log.correlation_id, '') AS correlation_id,
  nullif(log.causation_id, '') AS causation_id,
  nullif(log.message, '') AS message,
  CASE WHEN log.metadata = '' THEN '{}' ELSE log.metadata END AS metadata,
  versions.change_type,
  versions.changes
FROM log
JOIN kinds USING (kind)
JOIN producers USING (producer)
LEFT JOIN principals AS actor ON actor.principal = log.actor
LEFT JOIN principals AS behalf ON behalf.principal = log.on_behalf_of
LEFT JOIN principals AS target ON target.principal = log.target
LEFT JOIN scopes USING (scope)
LEFT JOIN versions USING (seq);
