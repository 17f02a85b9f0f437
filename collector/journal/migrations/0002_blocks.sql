-- Object ids, correlations and causes moved out of `postings`, to where a value that occurs once is found
-- sooner. Nothing is converted: the follower derives them anew, and readers scan until it has.
CREATE TABLE occurrences (
  block   INTEGER NOT NULL,
  bucket  INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  numbers BLOB    NOT NULL,
  PRIMARY KEY (block, bucket, segment)
) STRICT, WITHOUT ROWID;

-- The index of ids is cut into blocks, too; it is converted, since a look for a repeated id rests on it.
ALTER TABLE ids RENAME TO ids_in_one;
CREATE TABLE ids (
  block INTEGER NOT NULL,
  id    BLOB    NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY (block, id)
) STRICT, WITHOUT ROWID;
INSERT INTO ids SELECT seq >> 19, id, seq FROM ids_in_one;
DROP TABLE ids_in_one;
DELETE FROM facts WHERE name GLOB 'cursor.postings*';
