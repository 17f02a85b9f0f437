"""What repeats is checked once: texts that have a number here have passed every check before.

The numbers are those of the journal's dictionaries, its `Books`. They are forgotten when the
transaction that brought them is rolled back, or when the dictionaries are cleaned. The caches are
bounded: a producer that invents texts empties them, nothing more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from collector.core.changeset import is_deletion
from collector.core.validation import Kind, kind_of, principal
from collector.event import Draft, Principal

CACHE_MAX: Final = 8192
"""Entries of each cache; past that it is emptied and fills again from the dictionaries."""


class Books(Protocol):
    """The journal's dictionaries: the number of a text, new or known, within the transaction."""

    def kind(self, kind: Kind) -> int: ...
    def principal(self, principal: Principal) -> int: ...
    def scope(self, tenant_id: str, org_id: str) -> int: ...


class Numbers:
    """Caches in front of the books. Whoever does not find a text in one asks for a new number."""

    def __init__(self, books: Books, categories: Collection[str]) -> None:
        self._books, self._categories = books, categories
        self.kinds: dict[str, dict[tuple[str | None, ...], int]] = {}
        """For each source, by the other seven texts of a kind as a draft has them."""
        self.principals: dict[str | Principal, int] = {}
        self.scopes: dict[tuple[str | None, str | None], int] = {(None, None): 0}
        self.closing: set[int] = set()
        """The kinds whose events end an object's history."""

    def forget(self) -> None:
        """Drop every number: the books were rolled back or cleaned."""
        self.kinds.clear()
        self.closing.clear()
        self.principals.clear()
        self.scopes = {(None, None): 0}

    def new_kind(self, draft: Draft, source: str, key: tuple[str | None, ...]) -> int:
        """The number of a draft's kind. Raises `InvalidEvent`."""
        kind = kind_of(draft, source, self._categories)
        number = self._books.kind(kind)
        cache = self.kinds[source]
        if len(cache) >= CACHE_MAX:
            cache.clear()
            self.closing.clear()
        cache[key] = number
        if is_deletion(kind[0]):
            self.closing.add(number)
        return number

    def new_principal(self, who: str | Principal, field: str) -> int:
        """The number of who stands in this field of a draft. Raises `InvalidEvent`."""
        number = self._books.principal(principal(who, field))
        if len(self.principals) >= CACHE_MAX:
            self.principals.clear()
        self.principals[who] = number
        return number

    def new_scope(self, tenant_id: str | None, org_id: str | None) -> int:
        """The number of a tenant and organisation, 0 for neither."""
        number = self._books.scope(tenant_id or "", org_id or "") if tenant_id or org_id else 0
        if len(self.scopes) >= CACHE_MAX:
            self.scopes.clear()
        self.scopes[tenant_id, org_id] = number
        return number
