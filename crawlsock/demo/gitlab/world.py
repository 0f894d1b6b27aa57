"""What items of a sample GitLab have in common: identities, addresses, times, and who may be hostile.

Law: small pure functions of the layout that more than one kind of item needs. No lists, no pages, no HTTP.
"""

from __future__ import annotations

from attrs import field, frozen

from crawlsock.demo.gitlab.chance import draw, pick
from crawlsock.demo.gitlab.kinds import CONTENT, JsonObject, Kind
from crawlsock.demo.gitlab.layout import Layout
from crawlsock.demo.gitlab.words import FIRST_NAMES, LAST_NAMES, THINGS, TOPICS, spoil, spoil_ref

BIRTH = 1_609_459_200
"""2021-01-01: when the sample GitLab was installed."""

_SPAN = 150_000_000
"""The seconds over which a project's items were made, ending in 2026."""

_SETTLING = 7_200
"""Groups and projects are founded this many seconds after one another at most."""

_ORDINALS = {kind: place for place, kind in enumerate(Kind, 1)}


@frozen(eq=False)
class World:
    """A layout, and how its items look from outside."""

    layout: Layout
    external_url: str
    hostile_names: bool
    _people: dict[int, JsonObject] = field(factory=dict, init=False, repr=False)

    def bits(self, kind: Kind, *coordinates: int) -> int:
        """Return the 64 bits from which one item's random looks are taken."""
        return draw(self.layout.seed, 100 + _ORDINALS[kind], *coordinates)

    def text(self, plain: str, kind: Kind, *coordinates: int) -> str:
        """Return a name or title, made hostile now and then where that was asked for."""
        return spoil(plain, self.layout.seed, _ORDINALS[kind], *coordinates) if self.hostile_names else plain

    def ref(self, plain: str, kind: Kind, *coordinates: int) -> str:
        """Return the name of a branch or tag, made hostile now and then where that was asked for."""
        return spoil_ref(plain, self.layout.seed, _ORDINALS[kind], *coordinates) if self.hostile_names else plain

    def identifier(self, kind: Kind, project: int, index: int) -> int:
        """Return the id of a project's ``index``-th item of a kind, which is never also its iid."""
        return self.base(kind, project) + index + 1

    def base(self, kind: Kind, project: int) -> int:
        """Return the id in front of a project's first item of a kind."""
        return 100_000 * (_ORDINALS[kind] - _ORDINALS[CONTENT[0]] + 1) + self.layout.first(kind, project)

    def user_name(self, user: int) -> str:
        """Return a user's full name."""
        bits = self.bits(Kind.USERS, user)
        return self.text(f"{pick(FIRST_NAMES, bits)} {pick(LAST_NAMES, bits >> 8)}", Kind.USERS, user)

    def username(self, user: int) -> str:
        """Return a user's login name, which is also the path of the user's namespace."""
        bits = self.bits(Kind.USERS, user)
        return f"{pick(FIRST_NAMES, bits)}.{pick(LAST_NAMES, bits >> 8)}{user}".lower()

    def namespace_path(self, home: int) -> str:
        """Return the full path of a group (a positive home) or of a user's namespace (a negative one)."""
        return self.layout.group_paths[home - 1] if home > 0 else self.username(-home)

    def project_slug(self, project: int) -> str:
        """Return the last part of a project's path; it ends in the id, which makes looking it up cheap."""
        bits = self.bits(Kind.PROJECTS, project)
        return f"{pick(TOPICS, bits)}-{pick(THINGS, bits >> 8)}-{project}"

    def project_path(self, project: int) -> str:
        """Return a project's path with its namespace."""
        return f"{self.namespace_path(self.layout.homes[project - 1])}/{self.project_slug(project)}"

    def project_url(self, project: int) -> str:
        """Return the address of a project's page."""
        return f"{self.external_url}/{self.project_path(project)}"

    def founded(self, area: int) -> int:
        """Return when a project or group was made, in Unix seconds; later ones have greater ids."""
        return BIRTH + area * min(_SETTLING, 20_000_000 // (1 + max(self.layout.projects, self.layout.groups)))

    def moments(self, project: int, index: int, count: int, bits: int) -> tuple[int, int]:
        """Return when an item was made and last changed; both rise strictly with the index, as ids do."""
        start = self.founded(project)
        created = start + _SPAN * index // count
        step = _SPAN * (index + 1) // count - _SPAN * index // count
        return created, created + (bits >> 32) % max(1, step)

    def person(self, user: int) -> JsonObject:
        """Return the short form of a user that stands in authors, assignees and reviewers.

        It is in nearly every item and there are few users, so it is made once; nobody may change it.
        """
        found = self._people.get(user)
        if found is not None:
            return found
        username = self.username(user)
        found = self._people[user] = {
            "id": user,
            "username": username,
            "public_email": None,
            "name": self.user_name(user),
            "state": "active",
            "locked": False,
            "avatar_url": None,
            "web_url": f"{self.external_url}/{username}",
        }
        return found

    def someone(self, bits: int) -> JsonObject:
        """Return the short form of the user that these bits select."""
        return self.person(1 + bits % self.layout.users)
