"""Users, groups, projects and members, as GitLab's API answers them."""

from __future__ import annotations

from crawlsock.demo.gitlab.chance import day, pick, stamp
from crawlsock.demo.gitlab.kinds import JsonObject, Kind
from crawlsock.demo.gitlab.words import paragraph
from crawlsock.demo.gitlab.world import BIRTH, World

ACCESS_LEVELS = (10, 20, 30, 40, 50)
"""Guest, reporter, developer, maintainer, owner."""

_LINKS = (
    ("self", ""),
    ("issues", "/issues"),
    ("merge_requests", "/merge_requests"),
    ("repo_branches", "/repository/branches"),
    ("labels", "/labels"),
    ("events", "/events"),
    ("members", "/members"),
)
_VISIBILITIES = ("private", "internal", "public")


def user(world: World, number: int) -> JsonObject:
    """Return one object of ``/users``; user 1 is the administrator whom the tokens belong to."""
    bits = world.bits(Kind.USERS, number)
    username = world.username(number)
    created = BIRTH + number * 60
    return {
        **world.person(number),
        "created_at": stamp(created, bits % 1000),
        "updated_at": stamp(created + bits % 60),
        "bio": "",
        "location": None,
        "linkedin": "",
        "twitter": "",
        "website_url": "",
        "organization": None,
        "job_title": "",
        "pronouns": None,
        "bot": False,
        "work_information": None,
        "followers": bits % 7,
        "following": (bits >> 8) % 5,
        "local_time": None,
        "is_admin": number == 1,
        "email": f"{username}@sample.example",
        "namespace_id": world.layout.groups + number,
        "two_factor_enabled": bool(bits >> 16 & 1),
        "external": False,
        "private_profile": False,
        "last_sign_in_at": stamp(created + 86_400 + bits % 1_000_000),
        "confirmed_at": stamp(created),
        "last_activity_on": day(created + 100_000_000 + bits % 50_000_000),
    }


def group(world: World, number: int) -> JsonObject:
    """Return one object of ``/groups``."""
    bits = world.bits(Kind.GROUPS, number)
    full_path = world.namespace_path(number)
    parent = world.layout.parents[number - 1]
    path = full_path.rpartition("/")[2]
    names = [world.text(part.title(), Kind.GROUPS, int(part.rpartition("-")[2])) for part in full_path.split("/")]
    return {
        "id": number,
        "web_url": f"{world.external_url}/groups/{full_path}",
        "name": names[-1],
        "path": path,
        "description": world.text(paragraph(bits), Kind.GROUPS, number, 1),
        "visibility": _visibility(world, number),
        "share_with_group_lock": False,
        "require_two_factor_authentication": False,
        "two_factor_grace_period": 48,
        "project_creation_level": "developer",
        "auto_devops_enabled": None,
        "subgroup_creation_level": "maintainer",
        "emails_disabled": False,
        "mentions_disabled": None,
        "lfs_enabled": True,
        "archived": False,
        "default_branch": None,
        "avatar_url": None,
        "request_access_enabled": True,
        "full_name": " / ".join(names),
        "full_path": full_path,
        "created_at": stamp(world.founded(number), bits % 1000),
        "parent_id": parent or None,
        "organization_id": 1,
    }


def project(world: World, number: int) -> JsonObject:
    """Return one object of ``/projects``."""
    layout = world.layout
    bits = world.bits(Kind.PROJECTS, number)
    path = world.project_slug(number)
    full_path = world.project_path(number)
    url = f"{world.external_url}/{full_path}"
    home = layout.homes[number - 1]
    namespace = _namespace(world, home)
    name = world.text(path.replace("-", " ").title(), Kind.PROJECTS, number)
    created = world.founded(number)
    host = world.external_url.partition("://")[2]
    return {
        "id": number,
        "description": world.text(paragraph(bits), Kind.PROJECTS, number, 1),
        "name": name,
        "name_with_namespace": f"{namespace['name']} / {name}",
        "path": path,
        "path_with_namespace": full_path,
        "created_at": stamp(created, bits % 1000),
        "updated_at": stamp(created + 150_000_000),
        "default_branch": "main" if layout.count(Kind.COMMITS, number) else None,
        "tag_list": [],
        "topics": [],
        "ssh_url_to_repo": f"git@{host}:{full_path}.git",
        "http_url_to_repo": f"{url}.git",
        "web_url": url,
        "readme_url": f"{url}/-/blob/main/README.md",
        "forks_count": bits % 9,
        "avatar_url": None,
        "star_count": (bits >> 8) % 50,
        "last_activity_at": stamp(created + 150_000_000, bits % 1000),
        "visibility": pick(_VISIBILITIES, bits >> 16),
        "namespace": namespace,
        "container_registry_image_prefix": f"registry.{host}/{full_path}",
        "_links": {name: f"{world.external_url}/api/v4/projects/{number}{rest}" for name, rest in _LINKS},
        "packages_enabled": True,
        "empty_repo": not layout.count(Kind.COMMITS, number),
        "archived": bits >> 24 & 15 == 0,
        "resolve_outdated_diff_discussions": False,
        "issues_enabled": True,
        "merge_requests_enabled": True,
        "wiki_enabled": True,
        "jobs_enabled": True,
        "snippets_enabled": True,
        "container_registry_enabled": True,
        "service_desk_enabled": False,
        "can_create_merge_request_in": True,
        "issues_access_level": "enabled",
        "repository_access_level": "enabled",
        "merge_requests_access_level": "enabled",
        "builds_access_level": "enabled",
        "shared_runners_enabled": True,
        "lfs_enabled": True,
        "creator_id": 1 + (bits >> 32) % layout.users,
        "import_status": "none",
        "open_issues_count": (layout.count(Kind.ISSUES, number) + 1) // 2,
        "public_jobs": True,
        "shared_with_groups": [],
        "only_allow_merge_if_pipeline_succeeds": False,
        "request_access_enabled": True,
        "merge_method": "merge",
        "squash_option": "default_off",
        "permissions": {"project_access": None, "group_access": None},
        **({"owner": world.person(-home)} if home < 0 else {}),
    }


def member(world: World, number: int, area: int, *, of_project: bool) -> JsonObject:
    """Return one object of ``/groups/:id/members`` or ``/projects/:id/members``."""
    bits = world.bits(Kind.PROJECT_MEMBERS if of_project else Kind.GROUP_MEMBERS, area, number)
    return {
        **world.person(number),
        "access_level": pick(ACCESS_LEVELS, bits),
        "created_at": stamp(world.founded(area) + bits % 1_000_000, bits % 1000),
        "created_by": world.person(1),
        "expires_at": None,
        "membership_state": "active",
    }


def _visibility(world: World, number: int) -> str:
    return pick(_VISIBILITIES, world.bits(Kind.GROUPS, number) >> 16)


def _namespace(world: World, home: int) -> JsonObject:
    path = world.namespace_path(home)
    if home < 0:
        return {
            "id": world.layout.groups - home,
            "name": world.user_name(-home),
            "path": path,
            "kind": "user",
            "full_path": path,
            "parent_id": None,
            "avatar_url": None,
            "web_url": f"{world.external_url}/{path}",
        }
    last = path.rpartition("/")[2]
    return {
        "id": home,
        "name": world.text(last.title(), Kind.GROUPS, home),
        "path": last,
        "kind": "group",
        "full_path": path,
        "parent_id": world.layout.parents[home - 1] or None,
        "avatar_url": None,
        "web_url": f"{world.external_url}/groups/{path}",
    }
