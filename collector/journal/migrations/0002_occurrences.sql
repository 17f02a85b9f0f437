-- Object ids, correlations and causes moved out of `postings`, to where a value that occurs once is found
-- sooner. Nothing is converted: the follower derives them anew, and readers scan until it has.
CREATE TABLE occurrences (
  block   INTEGER NOT NULL,
  bucket  INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  numbers BLOB    NOT NULL,
  PRIMARY KEY (block, bucket, segment)
) STRICT, WITHOUT ROWID;
DELETE FROM facts WHERE name GLOB 'cursor.postings*';
