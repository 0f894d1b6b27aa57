"""Issues, merge requests, their notes, milestones and labels, as GitLab's API answers them."""

from __future__ import annotations

from crawlsock.demo.gitlab.chance import day, fraction, pick, stamp
from crawlsock.demo.gitlab.kinds import PARENTS, JsonObject, Kind
from crawlsock.demo.gitlab.repository import commit_sha
from crawlsock.demo.gitlab.words import TOPICS, paragraph, sentence
from crawlsock.demo.gitlab.world import World

_COLOURS = ("#d9534f", "#f0ad4e", "#5cb85c", "#428bca", "#8e44ad", "#34495e")
_NO_TIME_SPENT: JsonObject = {
    "time_estimate": 0,
    "total_time_spent": 0,
    "human_time_estimate": None,
    "human_total_time_spent": None,
}


def label_name(world: World, project: int, index: int) -> str:
    """Return a label's name; names sort as ids do."""
    bits = world.bits(Kind.LABELS, project, index)
    return world.text(f"L{index + 1:06d}::{pick(TOPICS, bits)}", Kind.LABELS, project, index)


def label(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/labels``."""
    bits = world.bits(Kind.LABELS, project, index)
    return {
        "id": world.identifier(Kind.LABELS, project, index),
        "name": label_name(world, project, index),
        "description": paragraph(bits),
        "description_html": paragraph(bits),
        "text_color": "#FFFFFF",
        "color": pick(_COLOURS, bits >> 8),
        "archived": False,
        "open_issues_count": bits % 20,
        "closed_issues_count": (bits >> 5) % 20,
        "open_merge_requests_count": (bits >> 10) % 5,
        "subscribed": False,
        "priority": None,
        "is_project_label": True,
    }


def milestone(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/milestones``."""
    bits = world.bits(Kind.MILESTONES, project, index)
    created, updated = world.moments(project, index, world.layout.count(Kind.MILESTONES, project), bits)
    return {
        "id": world.identifier(Kind.MILESTONES, project, index),
        "iid": index + 1,
        "project_id": project,
        "title": world.text(f"Milestone {index + 1}", Kind.MILESTONES, project, index),
        "description": paragraph(bits),
        "state": "active" if bits & 1 else "closed",
        "created_at": stamp(created),
        "updated_at": stamp(updated),
        "due_date": day(created + 2_000_000),
        "start_date": day(created),
        "expired": False,
        "web_url": f"{world.project_url(project)}/-/milestones/{index + 1}",
    }


def issue(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/issues``."""
    bits = world.bits(Kind.ISSUES, project, index)
    created, updated = world.moments(project, index, world.layout.count(Kind.ISSUES, project), bits)
    iid = index + 1
    path = world.project_path(project)
    closed = bool(bits & 1)
    assignees = [world.someone(bits >> 12)] if bits & 2 else []
    api = f"{world.external_url}/api/v4/projects/{project}"
    return {
        "id": world.identifier(Kind.ISSUES, project, index),
        "iid": iid,
        "project_id": project,
        "title": world.text(sentence(bits), Kind.ISSUES, project, index),
        "description": world.text(paragraph(bits), Kind.ISSUES, project, index, 1),
        "state": "closed" if closed else "opened",
        "created_at": stamp(created),
        "updated_at": stamp(updated),
        "closed_at": stamp(updated) if closed else None,
        "closed_by": world.someone(bits >> 20) if closed else None,
        "labels": _labels(world, project, bits),
        "milestone": _some_milestone(world, project, bits),
        "assignees": assignees,
        "author": world.someone(bits >> 28),
        "type": "ISSUE",
        "assignee": assignees[0] if assignees else None,
        "user_notes_count": world.layout.spread(Kind.ISSUE_NOTES, project).of(index),
        "merge_requests_count": bits >> 4 & 1,
        "upvotes": bits >> 5 & 3,
        "downvotes": 0,
        "due_date": day(updated + 1_000_000) if bits & 64 else None,
        "confidential": False,
        "discussion_locked": None,
        "issue_type": "issue",
        "web_url": f"{world.external_url}/{path}/-/issues/{iid}",
        "time_stats": _NO_TIME_SPENT,
        "task_completion_status": {"count": 0, "completed_count": 0},
        "blocking_issues_count": 0,
        "has_tasks": False,
        "_links": {
            "self": f"{api}/issues/{iid}",
            "notes": f"{api}/issues/{iid}/notes",
            "award_emoji": f"{api}/issues/{iid}/award_emoji",
            "project": api,
        },
        "references": {"short": f"#{iid}", "relative": f"#{iid}", "full": f"{path}#{iid}"},
        "severity": "UNKNOWN",
        "weight": None,
        "moved_to_id": None,
        "imported": False,
        "service_desk_reply_to": None,
    }


def merge_request(world: World, project: int, index: int) -> JsonObject:
    """Return one object of ``/projects/:id/merge_requests``."""
    bits = world.bits(Kind.MERGE_REQUESTS, project, index)
    created, updated = world.moments(project, index, world.layout.count(Kind.MERGE_REQUESTS, project), bits)
    iid = index + 1
    path = world.project_path(project)
    state = ("opened", "merged", "merged", "closed")[bits & 3]
    assignees = [world.someone(bits >> 12)] if bits & 4 else []
    commits = world.layout.count(Kind.COMMITS, project)
    merged_by = world.someone(bits >> 20) if state == "merged" else None
    return {
        "id": world.identifier(Kind.MERGE_REQUESTS, project, index),
        "iid": iid,
        "project_id": project,
        "title": world.text(sentence(bits), Kind.MERGE_REQUESTS, project, index),
        "description": world.text(paragraph(bits), Kind.MERGE_REQUESTS, project, index, 1),
        "state": state,
        "created_at": stamp(created),
        "updated_at": stamp(updated),
        "merged_by": merged_by,
        "merge_user": merged_by,
        "merged_at": stamp(updated) if state == "merged" else None,
        "closed_by": world.someone(bits >> 20) if state == "closed" else None,
        "closed_at": stamp(updated) if state == "closed" else None,
        "target_branch": "main",
        "source_branch": f"change/{iid}",
        "user_notes_count": world.layout.spread(Kind.MERGE_REQUEST_NOTES, project).of(index),
        "upvotes": bits >> 5 & 3,
        "downvotes": 0,
        "author": world.someone(bits >> 28),
        "assignees": assignees,
        "assignee": assignees[0] if assignees else None,
        "reviewers": [world.someone(bits >> 36)],
        "source_project_id": project,
        "target_project_id": project,
        "labels": _labels(world, project, bits),
        "draft": False,
        "imported": False,
        "work_in_progress": False,
        "milestone": _some_milestone(world, project, bits),
        "merge_when_pipeline_succeeds": False,
        "merge_status": "can_be_merged",
        "detailed_merge_status": "mergeable" if state == "opened" else "not_open",
        "sha": commit_sha(world, project, bits % commits) if commits else None,
        "merge_commit_sha": None,
        "squash_commit_sha": None,
        "discussion_locked": None,
        "should_remove_source_branch": None,
        "force_remove_source_branch": True,
        "prepared_at": stamp(created),
        "reference": f"!{iid}",
        "references": {"short": f"!{iid}", "relative": f"!{iid}", "full": f"{path}!{iid}"},
        "web_url": f"{world.external_url}/{path}/-/merge_requests/{iid}",
        "time_stats": _NO_TIME_SPENT,
        "squash": False,
        "squash_on_merge": False,
        "task_completion_status": {"count": 0, "completed_count": 0},
        "has_conflicts": False,
        "blocking_discussions_resolved": True,
    }


_NOTEABLES = {Kind.ISSUE_NOTES: "Issue", Kind.MERGE_REQUEST_NOTES: "MergeRequest"}


def note(world: World, kind: Kind, project: int, index: int) -> JsonObject:
    """Return one object of ``.../notes``; ``index`` counts all the notes of this kind in the project."""
    bits = world.bits(kind, project, index)
    created, updated = world.moments(project, index, world.layout.count(kind, project), bits)
    parent = world.layout.spread(kind, project).parent(index)
    return {
        "id": world.identifier(kind, project, index),
        "type": None,
        "body": world.text(paragraph(bits), kind, project, index),
        "author": world.someone(bits >> 28),
        "created_at": stamp(created),
        "updated_at": stamp(updated),
        "system": bits & 7 == 0,
        "noteable_id": world.identifier(PARENTS[kind], project, parent),
        "noteable_type": _NOTEABLES[kind],
        "project_id": project,
        "resolvable": False,
        "confidential": False,
        "internal": False,
        "imported": False,
        "imported_from": "none",
        "noteable_iid": parent + 1,
        "commands_changes": {},
    }


def _labels(world: World, project: int, bits: int) -> list[str]:
    count = world.layout.count(Kind.LABELS, project)
    if not count:
        return []
    chosen = {int(fraction(bits) * count), (bits >> 40) % count}
    return [label_name(world, project, index) for index in sorted(chosen)[: bits >> 8 & 3]]


def _some_milestone(world: World, project: int, bits: int) -> JsonObject | None:
    count = world.layout.count(Kind.MILESTONES, project)
    return milestone(world, project, (bits >> 44) % count) if count and bits & 16 else None
