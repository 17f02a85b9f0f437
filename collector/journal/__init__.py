"""The journal: one SQLite file, one writer on the event loop, read-only readers everywhere else."""
