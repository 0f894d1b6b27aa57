"""Pipelines and their jobs, as GitLab's API answers them."""

from __future__ import annotations

from crawlsock.demo.gitlab.chance import pick, stamp
from crawlsock.demo.gitlab.kinds import JsonObject, Kind
from crawlsock.demo.gitlab.repository import commit, commit_sha
from crawlsock.demo.gitlab.world import World

_STATUSES = ("success", "success", "success", "failed", "canceled", "skipped", "success", "manual")
_STEPS = (
    ("build", "compile"),
    ("test", "unit"),
    ("test", "lint"),
    ("test", "integration"),
    ("deploy", "staging"),
)


def pipeline(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/pipelines``."""
    bits = world.bits(Kind.PIPELINES, project, index)
    created, updated = world.moments(project, index, world.layout.count(Kind.PIPELINES, project), bits)
    number = world.identifier(Kind.PIPELINES, project, index)
    return {
        "id": number,
        "iid": index + 1,
        "project_id": project,
        "sha": commit_sha(world, project, _commit_of(world, project, index)),
        "ref": "main",
        "status": pick(_STATUSES, bits),
        "source": "push",
        "created_at": stamp(created),
        "updated_at": stamp(updated),
        "web_url": f"{world.project_url(project)}/-/pipelines/{number}",
        "name": world.text(f"Pipeline of main, run {index + 1}", Kind.PIPELINES, project, index),
    }


def pipeline_detail(world: World, project: int, index: int) -> JsonObject:
    """Return the object of ``/projects/:id/pipelines/:pipeline_id``, which says more than the list does."""
    bits = world.bits(Kind.PIPELINES, project, index)
    basic = pipeline(world, project, index)
    return {
        **basic,
        "before_sha": "0" * 40,
        "tag": False,
        "yaml_errors": None,
        "user": world.someone(bits >> 28),
        "started_at": basic["created_at"],
        "finished_at": basic["updated_at"],
        "committed_at": None,
        "duration": bits % 3600,
        "queued_duration": bits % 60,
        "coverage": None,
    }


def job(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/jobs``; ``index`` counts all jobs of the project."""
    bits = world.bits(Kind.JOBS, project, index)
    created, updated = world.moments(project, index, world.layout.count(Kind.JOBS, project), bits)
    parent = world.layout.spread(Kind.JOBS, project).parent(index)
    stage, name = pick(_STEPS, bits >> 8)
    number = world.identifier(Kind.JOBS, project, index)
    run = pipeline(world, project, parent)
    return {
        "id": number,
        "status": pick(_STATUSES, bits),
        "stage": stage,
        "name": world.text(name, Kind.JOBS, project, index),
        "ref": "main",
        "tag": False,
        "coverage": None,
        "allow_failure": False,
        "created_at": stamp(created),
        "started_at": stamp(created),
        "finished_at": stamp(updated),
        "erased_at": None,
        "duration": float(bits % 36000) / 10,
        "queued_duration": float(bits >> 16 & 1023) / 100,
        "user": world.someone(bits >> 28),
        "commit": commit(world, project, _commit_of(world, project, parent)),
        "pipeline": {
            key: run[key]
            for key in (
                "id",
                "iid",
                "project_id",
                "sha",
                "ref",
                "status",
                "source",
                "created_at",
                "updated_at",
                "web_url",
            )
        },
        "failure_reason": None,
        "web_url": f"{world.project_url(project)}/-/jobs/{number}",
        "project": {"ci_job_token_scope_enabled": False},
        "artifacts": [],
        "runner": None,
        "runner_manager": None,
        "artifacts_expire_at": None,
        "archived": False,
        "tag_list": [],
    }


def _commit_of(world: World, project: int, index: int) -> int:
    layout = world.layout
    return layout.count(Kind.COMMITS, project) * index // layout.count(Kind.PIPELINES, project)
