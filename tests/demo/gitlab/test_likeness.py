"""The likeness of the sample GitLab, judged by python-gitlab: a client made for the real one, unchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import gitlab
from gitlab.exceptions import GitlabAuthenticationError, GitlabHttpError, GitlabListError
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab import Dataset, Faults, Kind, Options, Refusal, SampleGitLab

T = TypeVar("T")

OFFSET: dict[str, Any] = {}
KEYSET: dict[str, Any] = {"pagination": "keyset"}


def read_everything(client: gitlab.Gitlab, paging: dict[str, Any]) -> Counter[str]:
    """Iterate every item of every kind, and count."""
    by_id = {**paging, "order_by": "id", "sort": "asc"} if paging else {}
    counts: Counter[str] = Counter()

    def read(kind: Kind, manager: Any, **given: Any) -> list[Any]:
        found = list(manager.list(iterator=True, **given))
        counts[kind.value] += len(found)
        return found

    read(Kind.USERS, client.users, **by_id)
    for group in read(Kind.GROUPS, client.groups, **paging):
        read(Kind.GROUP_MEMBERS, group.members)
    for project in read(Kind.PROJECTS, client.projects, **by_id):
        read(Kind.PROJECT_MEMBERS, project.members)
        for issue in read(Kind.ISSUES, project.issues, **by_id):
            read(Kind.ISSUE_NOTES, issue.notes)
        for request in read(Kind.MERGE_REQUESTS, project.mergerequests):
            read(Kind.MERGE_REQUEST_NOTES, request.notes)
        for pipeline in read(Kind.PIPELINES, project.pipelines):
            read(Kind.JOBS, pipeline.jobs)
        read(Kind.COMMITS, project.commits)
        read(Kind.BRANCHES, project.branches, **paging)
        read(Kind.TAGS, project.tags, **paging)
        read(Kind.RELEASES, project.releases)
        read(Kind.MILESTONES, project.milestones)
        read(Kind.LABELS, project.labels)
    return counts


class LikenessTests(TestCase):
    """What python-gitlab makes of it."""

    timeout = 120

    async def serve(self, dataset: Dataset, options: Options | None = None) -> SampleGitLab:
        """Start a sample that ends with the test."""
        from twisted.internet import reactor

        sample = SampleGitLab(reactor, dataset, options)
        await sample.listen()
        self.addCleanup(sample.close)
        return sample

    async def ask(
        self,
        sample: SampleGitLab,
        question: Callable[[gitlab.Gitlab], T],
        *,
        oauth: str | None = None,
        **given: Any,
    ) -> T:
        """Let a python-gitlab client ask something in a thread of its own."""

        def work() -> T:
            personal = None if oauth else sample.personal_token
            with gitlab.Gitlab(sample.url, private_token=personal, oauth_token=oauth, **given) as client:
                return question(client)

        return await deferToThread(work)

    async def test_reads_everything_by_offset(self) -> None:
        """By offset it reads exactly what the dataset counts, on pages smaller than many lists."""
        sample = await self.serve(Dataset.generate(7, 10, 2_000))
        counts = await self.ask(sample, lambda client: read_everything(client, OFFSET), per_page=20)
        self.assertEqual(dict(counts), sample.dataset.counts())
        self.assertEqual(sum(counts.values()), sample.description()["items_expected"])
        self.assertEqual(sample.statistics.items, 2_000)

    async def test_reads_everything_by_keyset(self) -> None:
        """By keyset, where GitLab has it, it reads exactly the same, hostile names included."""
        sample = await self.serve(Dataset.generate(7, 10, 2_000, hostile_names=True))
        counts = await self.ask(sample, lambda client: read_everything(client, KEYSET), per_page=9)
        self.assertEqual(dict(counts), sample.dataset.counts())

    async def test_objects(self) -> None:
        """Its objects find their fields, and can be fetched by path and by iid."""
        sample = await self.serve(Dataset.generate(7, 10, 2_000))

        def work(client: gitlab.Gitlab) -> list[Any]:
            client.auth()
            project: Any = next(one for one in client.projects.list(iterator=True) if one.open_issues_count)
            again = client.projects.get(project.path_with_namespace)
            issue = again.issues.list(per_page=1, page=1)[0]
            branch = again.branches.get("main")
            return [
                client.version()[0] != "unknown",
                project.asdict() == again.asdict(),
                again.issues.get(issue.iid).asdict() == issue.asdict(),
                again.commits.get(branch.commit["id"]).id == branch.commit["id"],
                client.user is not None and client.user.is_admin,
                issue.references["full"].startswith(project.path_with_namespace),
            ]

        # The items name a GitLab behind a proxy; keep_base_url is what such a client is told.
        self.assertEqual(await self.ask(sample, work, keep_base_url=True), [True] * 6)

    async def test_totals(self) -> None:
        """It finds the totals of offset pages, and none on keyset pages."""
        sample = await self.serve(Dataset.generate(7, 30, 0))

        def work(client: gitlab.Gitlab) -> list[Any]:
            offset: Any = client.projects.list(iterator=True, per_page=7)
            keyset: Any = client.projects.list(iterator=True, per_page=7, pagination="keyset", order_by="id")
            return [offset.total, offset.total_pages, offset.next_page, keyset.total, len(list(keyset))]

        self.assertEqual(await self.ask(sample, work), [30, 5, 2, None, 30])

    async def test_expired_oauth_token(self) -> None:
        """An OAuth token that ran out is its authentication error, and the refreshed one reads on."""
        sample = await self.serve(Dataset.generate(7, 3, 300), Options(token_requests=2))

        def thrice(client: gitlab.Gitlab) -> None:
            for _ in range(3):
                client.projects.list(get_all=False)

        refused = Deferred.fromCoroutine(self.ask(sample, thrice, oauth=sample.oauth.access_token))
        await self.assertFailure(refused, GitlabAuthenticationError)
        fresh = sample.tokens.refresh({"grant_type": "refresh_token", "refresh_token": sample.oauth.refresh_token}, 0)
        found = await self.ask(
            sample, lambda client: client.projects.list(get_all=False), oauth=str(fresh["access_token"])
        )
        self.assertEqual(len(found), 3)

    async def test_injected_limits(self) -> None:
        """It honours 429 by its own retries and, where it may retry errors, survives 500 and 502 as well."""
        faults = Faults(too_many_requests=0.2, retry_after=0, server_error=0.02, bad_gateway=0.02)
        sample = await self.serve(Dataset.generate(7, 6, 700), Options(faults=faults))
        counts = await self.ask(
            sample, lambda client: read_everything(client, OFFSET), per_page=50, retry_transient_errors=True
        )
        self.assertEqual(dict(counts), sample.dataset.counts())
        faults_met = sample.statistics.faults
        self.assertGreater(faults_met["429"], 10)
        self.assertGreater(faults_met["500"] + faults_met["502"], 1)

    async def test_real_limit(self) -> None:
        """When the limit is reached it waits for the next window, as ``Retry-After`` says, and reads on."""
        sample = await self.serve(Dataset.generate(7, 6, 0), Options(rate_limit=5, rate_period=1))

        def many(client: gitlab.Gitlab) -> int:
            return sum(client.projects.get(1).id for _ in range(20))

        self.assertEqual(await self.ask(sample, many), 20)
        self.assertGreaterEqual(sample.statistics.rate_limited, 1)

    async def test_refused_resource(self) -> None:
        """A refused resource is its ordinary error with GitLab's message."""
        sample = await self.serve(
            Dataset.generate(7, 3, 300), Options(faults=Faults(refused=(Refusal(Kind.PIPELINES, 2),)))
        )

        def work(client: gitlab.Gitlab) -> tuple[int | None, object]:
            try:
                client.projects.get(2).pipelines.list(get_all=False)
            except (GitlabListError, GitlabHttpError) as refusal:
                return refusal.response_code, refusal.error_message
            return None, None

        self.assertEqual(await self.ask(sample, work), (403, "403 Forbidden"))
