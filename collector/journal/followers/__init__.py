"""Followers: what makes reading fast, derived from the log behind the writer's back.

Each follower has a cursor, the last seq it has derived from, and a generator of small steps. The
janitor takes steps for as long as its slice lasts; no transaction stays open between two of them, so
recording goes on in between. Where it adds up (totals) a batch writes its rows and its cursor in one
transaction; where it is idempotent (postings, ids, words) rows are staged first and the cursor
follows, and readers look at nothing beyond the cursor.
"""

from __future__ import annotations

from collector.journal.followers.base import Follower
from collector.journal.followers.ids import Ids
from collector.journal.followers.postings import Postings
from collector.journal.followers.totals import Totals
from collector.journal.followers.words import Search
from collector.journal.writer import Journal

__all__ = ["Follower", "Ids", "Postings", "Search", "Totals", "all_followers"]


def all_followers(journal: Journal) -> list[Follower]:
    """Every follower, the most urgent first."""
    return [Totals(journal), Ids(journal), Postings(journal), Search(journal)]
