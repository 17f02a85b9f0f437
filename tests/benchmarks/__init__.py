"""Benchmarks: the table of targets, measured as ratios in one run. See `docs/benchmarks.md`."""
