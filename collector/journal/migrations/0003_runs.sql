-- The index of ids is no tree any more but runs of buckets; `converting.py` moves the ids over.
ALTER TABLE ids RENAME TO ids_in_blocks;
CREATE TABLE id_runs (
  run    INTEGER PRIMARY KEY AUTOINCREMENT,
  first  INTEGER NOT NULL,
  last   INTEGER NOT NULL,
  bits   INTEGER NOT NULL,
  size   INTEGER NOT NULL,
  target INTEGER NOT NULL
) STRICT;
CREATE TABLE ids (
  key     INTEGER PRIMARY KEY,
  entries BLOB NOT NULL
) STRICT;
INSERT INTO facts VALUES ('ids_key', randomblob(16));
