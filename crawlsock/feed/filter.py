"""Say which events a subscriber wants, and whether an event is one of them.

The law: values in, values out. Two subscribers that want the same have equal filters, whatever words they used; so
what was made for one of them may be given to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

Event = dict[str, Any]


@frozen
class Filter:
    """Let through events that match all that is given; None is anything.

    :ivar accounts: what the subscriber may see at all; events that belong to no account are not for it then.
    """

    job_id: str | None = None
    root_id: str | None = None
    account: str | None = None
    kinds: frozenset[str] | None = None
    accounts: frozenset[str] | None = None

    @classmethod
    def of(cls, wanted: Mapping[str, Any], accounts: Iterable[str] | None = None) -> Filter:
        """Make the filter of a subscription's `filter` object, for a subscriber that is bound to `accounts`.

        An account that it may not see leaves nothing to see; refusing it is the caller's business.
        """
        kinds = frozenset(wanted["kinds"]) if wanted.get("kinds") else None
        account = wanted.get("account")
        bound = None if accounts is None else frozenset(accounts)
        if bound is not None:
            if account in bound:
                bound = None
            elif account is None and len(bound) == 1:
                (account,), bound = bound, None
        return cls(wanted.get("job_id"), wanted.get("root_id"), account, kinds, bound)

    def matches(self, event: Event) -> bool:
        """Tell whether the filter lets the event through."""
        if self.kinds is not None and event["kind"] not in self.kinds:
            return False
        if self.accounts is not None and event.get("account") not in self.accounts:
            return False
        return all(want is None or event.get(name) == want for name, want in self.equal())

    def equal(self) -> tuple[tuple[str, str | None], ...]:
        """Return what an event must be equal in: pairs of a field and its value, None where anything will do."""
        return (("job_id", self.job_id), ("root_id", self.root_id), ("account", self.account))

    @property
    def handle(self) -> tuple[str, str] | None:
        """The most selective field and its value, for who keeps events by field; None when all are looked at."""
        return next(((name, want) for name, want in self.equal() if want is not None), None)
