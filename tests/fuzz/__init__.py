"""Hostile input of every kind, as much of it as there is time for.

The short forms run with the tests; the long ones are commands (see CONTRIBUTING.md):

    python -m tests.fuzz frames --count 10000000
    python -m tests.fuzz configs --count 10000
    python -m tests.fuzz journals --count 10000
    python -m tests.fuzz daemons --count 500
    python -m tests.fuzz restores --count 1000

Each says its seed, and ends at the first finding with what is needed to see it again.
"""
