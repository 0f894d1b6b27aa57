"""Commits, branches, tags and releases, as GitLab's API answers them.

A project's history is one line: commit ``index`` has commit ``index - 1`` as its parent, the default branch
``main`` ends at the last one, and every other branch and every tag points somewhere on the way.
"""

from __future__ import annotations

from crawlsock.demo.gitlab.chance import pick, stamp, zoned_stamp
from crawlsock.demo.gitlab.kinds import JsonObject, Kind
from crawlsock.demo.gitlab.words import THINGS, paragraph, sentence
from crawlsock.demo.gitlab.world import World

_TWIST = 0x9E3779B1
_UNTWIST = pow(_TWIST, -1, 1 << 32)


def commit_sha(world: World, project: int, index: int) -> str:
    """Return a commit's name; its first 32 bits are the index, scrambled, so that it can be looked up."""
    head = (index * _TWIST + project) % (1 << 32)
    middle, tail = world.bits(Kind.COMMITS, project, index), world.bits(Kind.COMMITS, project, index, 1)
    return f"{head:08x}{middle:016x}{tail:016x}"


def commit_index(world: World, project: int, name: str) -> int | None:
    """Return the index of the commit of this full or abbreviated name, or None."""
    try:
        index = (int(name[:8], 16) - project) * _UNTWIST % (1 << 32)
    except ValueError:
        return None
    if len(name) < 8 or index >= world.layout.count(Kind.COMMITS, project):
        return None
    return index if commit_sha(world, project, index).startswith(name) else None


def commit(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/repository/commits``."""
    bits = world.bits(Kind.COMMITS, project, index)
    created, _ = world.moments(project, index, world.layout.count(Kind.COMMITS, project), bits)
    author = 1 + (bits >> 28) % world.layout.users
    name, email = world.user_name(author), f"{world.username(author)}@sample.example"
    sha = commit_sha(world, project, index)
    title = world.text(sentence(bits), Kind.COMMITS, project, index)
    moment = zoned_stamp(created)
    return {
        "id": sha,
        "short_id": sha[:8],
        "created_at": moment,
        "parent_ids": [commit_sha(world, project, index - 1)] if index else [],
        "title": title,
        "message": f"{title}\n\n{paragraph(bits)}\n",
        "author_name": name,
        "author_email": email,
        "authored_date": moment,
        "committer_name": name,
        "committer_email": email,
        "committed_date": moment,
        "trailers": {},
        "extended_trailers": {},
        "web_url": f"{world.project_url(project)}/-/commit/{sha}",
    }


def branch_name(world: World, project: int, index: int) -> str:
    """Return a branch's name; names sort as indices do, and the last one is the default branch."""
    if index == world.layout.count(Kind.BRANCHES, project) - 1:
        return "main"
    bits = world.bits(Kind.BRANCHES, project, index)
    return world.ref(f"feature/{index + 1:06d}-{pick(THINGS, bits)}", Kind.BRANCHES, project, index)


def branch_head(world: World, project: int, index: int) -> int:
    """Return the index of the commit that a branch ends at."""
    commits = world.layout.count(Kind.COMMITS, project)
    if index == world.layout.count(Kind.BRANCHES, project) - 1:
        return commits - 1
    return world.bits(Kind.BRANCHES, project, index) % commits


def branch(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/repository/branches``."""
    name = branch_name(world, project, index)
    default = name == "main"
    return {
        "name": name,
        "commit": commit(world, project, branch_head(world, project, index)),
        "merged": False,
        "protected": default,
        "developers_can_push": False,
        "developers_can_merge": False,
        "can_push": True,
        "default": default,
        "web_url": f"{world.project_url(project)}/-/tree/{name}",
    }


def tag_name(world: World, project: int, index: int) -> str:
    """Return a tag's name; names sort as indices do."""
    return world.ref(f"v1.{index + 1:06d}.0", Kind.TAGS, project, index)


def tag_head(world: World, project: int, index: int) -> int:
    """Return the index of the commit that a tag points at."""
    return world.layout.count(Kind.COMMITS, project) * index // world.layout.count(Kind.TAGS, project)


def tag(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/repository/tags``; the first tags have the releases."""
    name = tag_name(world, project, index)
    target = commit(world, project, tag_head(world, project, index))
    released = index < world.layout.count(Kind.RELEASES, project)
    return {
        "name": name,
        "message": "",
        "target": target["id"],
        "commit": target,
        "release": {"tag_name": name, "description": _description(world, project, index)} if released else None,
        "protected": False,
        "created_at": None,
    }


def release(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/releases``."""
    bits = world.bits(Kind.RELEASES, project, index)
    name = tag_name(world, project, index)
    created, _ = world.moments(project, index, world.layout.count(Kind.RELEASES, project), bits)
    url = world.project_url(project)
    target = commit(world, project, tag_head(world, project, index))
    return {
        "tag_name": name,
        "description": _description(world, project, index),
        "name": world.text(f"Release {index + 1}", Kind.RELEASES, project, index, 1),
        "created_at": stamp(created),
        "released_at": stamp(created),
        "upcoming_release": False,
        "author": world.someone(bits >> 28),
        "commit": target,
        "commit_path": f"/{world.project_path(project)}/-/commit/{target['id']}",
        "tag_path": f"/{world.project_path(project)}/-/tags/{name}",
        "assets": {
            "count": 1,
            "sources": [{"format": "zip", "url": f"{url}/-/archive/{name}/{world.project_slug(project)}-{name}.zip"}],
            "links": [],
        },
        "evidences": [],
        "_links": {"self": f"{url}/-/releases/{name}"},
    }


def _description(world: World, project: int, index: int) -> str:
    return world.text(paragraph(world.bits(Kind.RELEASES, project, index)), Kind.RELEASES, project, index)
