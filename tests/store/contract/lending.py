"""Claims about accounts and their credentials."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from crawlsock.jobs import State
from crawlsock.store.values import CredentialRow, SealedCredential
from tests.store.contract.base import OTHER_SERVER, SERVER, StoreContract


class Lending(StoreContract):
    """A credential is refreshed by one, refused for all, and never opened by the store."""

    async def row(self, account: str) -> CredentialRow:
        """Return a credential that must be there."""
        row = await self.store.credential(account)
        assert row is not None
        return row

    async def test_the_default_account_needs_no_credential(self) -> None:
        """The account `default` is there from the start, and its jobs run without a token."""
        (shown,) = await self.store.accounts()
        self.assertEqual((shown.account, shown.state, shown.generation), ("default", "none", 0))
        self.assertIsNone(await self.store.credential("default"))

    async def test_a_credential_comes_back_sealed(self) -> None:
        """What was put is what is kept, byte for byte."""
        sealed = SealedCredential(bytes(range(256)))
        expires = self.in_(7200)
        generation = await self.store.put_credential("acme", "gitlab.test", "oauth", sealed, expires, "webapp")
        row = await self.row("acme")
        self.assertEqual((row.sealed, row.generation, row.state), (sealed, generation, "valid"))
        self.assertEqual((row.account, row.host, row.kind), ("acme", "gitlab.test", "oauth"))
        assert row.expires_at is not None
        self.assertAlmostEqual((row.expires_at - expires).total_seconds(), 0.0, delta=0.001)

    async def test_a_sealed_credential_does_not_show_itself(self) -> None:
        """Not even its sealed bytes are in what is printed of a credential."""
        self.assertNotIn("secret", repr(SealedCredential(b"secret")))

    async def test_generations_rise(self) -> None:
        """Each new credential has a higher generation; the same bytes again are the same credential."""
        sealed = SealedCredential(b"one")
        first = await self.store.put_credential("acme", "h", "personal", sealed, None, "webapp")
        again = await self.store.put_credential("acme", "h", "personal", sealed, None, "webapp")
        second = await self.store.put_credential("acme", "h", "personal", SealedCredential(b"two"), None, "webapp")
        self.assertEqual(again, first)
        self.assertGreater(second, first)
        self.assertEqual((await self.row("acme")).sealed, SealedCredential(b"two"))

    async def test_unknown_accounts_are_refused(self) -> None:
        """What names an account that does not exist is `unknown_account`."""
        await self.refused("unknown_account", self.store.credential("nobody"))
        await self.refused("unknown_account", self.store.begin_refresh("nobody", 1, SERVER, 30.0))

    async def test_an_account_without_a_credential_cannot_refresh(self) -> None:
        """Where there is nothing to refresh the answer is `credential_missing`."""
        await self.refused("credential_missing", self.store.begin_refresh("default", 0, SERVER, 30.0))

    async def test_one_server_refreshes(self) -> None:
        """Of all servers that ask for the same generation exactly one gets the ticket."""
        generation = await self.account("acme")
        servers = [f"00000000-0000-4000-8000-0000000000{n:02d}" for n in range(8)]
        answers = await gatherResults(
            [self.store.begin_refresh("acme", generation, server, 30.0) for server in servers]
        )
        tickets = [ticket for ticket in answers if ticket is not None]
        self.assertEqual(len(tickets), 1)
        self.assertEqual(tickets[0].generation, generation)
        self.assertEqual(tickets[0].credential, await self.row("acme"))

    async def test_a_ticket_ends_with_its_time(self) -> None:
        """When the server that refreshes has not come back in time, another may."""
        generation = await self.account("acme")
        self.assertIsNotNone(await self.store.begin_refresh("acme", generation, SERVER, 30.0))
        self.assertIsNone(await self.store.begin_refresh("acme", generation, OTHER_SERVER, 30.0))
        await self.advance(31)
        self.assertIsNotNone(await self.store.begin_refresh("acme", generation, OTHER_SERVER, 30.0))

    async def test_the_holder_may_ask_again(self) -> None:
        """The server that has the ticket is given it again: its first answer may have been lost."""
        generation = await self.account("acme")
        first = await self.store.begin_refresh("acme", generation, SERVER, 30.0)
        again = await self.store.begin_refresh("acme", generation, SERVER, 30.0)
        assert first is not None and again is not None
        self.assertEqual((again.generation, again.credential), (first.generation, first.credential))

    async def test_finishing_makes_the_next_generation(self) -> None:
        """A finished refresh replaces the credential; said again, or too late, it changes nothing."""
        generation = await self.account("acme")
        await self.store.begin_refresh("acme", generation, SERVER, 30.0)
        fresh = SealedCredential(b"fresh")
        after = await self.store.finish_refresh("acme", generation, fresh, self.in_(60))
        self.assertGreater(after, generation)
        self.assertEqual(await self.store.finish_refresh("acme", generation, fresh, self.in_(60)), after)
        late = await self.store.finish_refresh("acme", generation, SealedCredential(b"late"), None)
        self.assertEqual(late, after)
        row = await self.row("acme")
        self.assertEqual((row.sealed, row.generation, row.state), (fresh, after, "valid"))
        self.assertEqual((row.host, row.kind), ("gitlab.test", "oauth"))

    async def test_an_old_generation_needs_no_refresh(self) -> None:
        """Who asks to refresh what has been refreshed gets no ticket."""
        generation = await self.account("acme")
        await self.store.begin_refresh("acme", generation, SERVER, 30.0)
        after = await self.store.finish_refresh("acme", generation, SealedCredential(b"x"), None)
        self.assertIsNone(await self.store.begin_refresh("acme", generation, OTHER_SERVER, 30.0))
        self.assertIsNotNone(await self.store.begin_refresh("acme", after, OTHER_SERVER, 30.0))

    async def test_a_refused_credential_puts_jobs_aside(self) -> None:
        """Queued and running jobs of the account wait for a new credential; crawlers are told; others go
        on."""
        generation = await self.account("acme")
        running = await self.running(account="acme")
        held = await self.held(account="acme")
        queued = await self.submit(account="acme")
        paused = await self.bring(State.PAUSED, account="acme")
        other = await self.submit()
        answer = await self.store.refuse_credential("acme", generation, "invalid_grant")
        self.assertEqual(answer.jobs, 3)
        told = {(order.kind, order.job_id, order.lease, order.session_id) for order in answer.orders}
        self.assertEqual(told, {("cancel", *running), ("cancel", *held)})
        waiting = (running.job_id, held.job_id, queued)
        self.assertEqual(await self.states(waiting), ["waiting_credential"] * 3)
        self.assertEqual(await self.states((paused.job_id, other)), ["paused", "queued"])
        for job_id in waiting:
            job = await self.view(job_id)
            self.assertEqual((job.failures, job.losses, job.releases), (0, 0, 0))
        shown = {account.account: account for account in await self.store.accounts()}["acme"]
        self.assertEqual((shown.state, shown.reason, shown.jobs_waiting), ("refused", "invalid_grant", 3))
        self.assertIsNone(await self.store.begin_refresh("acme", generation, SERVER, 30.0))

    async def test_wishes_are_carried_out_when_the_credential_is_refused(self) -> None:
        """A running job that was to be cancelled is cancelled; one that was to be paused is paused."""
        generation = await self.account("acme")
        cancelled, paused = await self.running(account="acme"), await self.running(account="acme")
        await self.store.cancel(cancelled.job_id, tree=False, reason=None, actor="test")
        await self.store.pause(paused.job_id, tree=False, reason=None, actor="test")
        await self.store.refuse_credential("acme", generation, "revoked")
        self.assertEqual(await self.states((cancelled.job_id, paused.job_id)), ["cancelled", "paused"])

    async def test_refusing_an_old_generation_changes_nothing(self) -> None:
        """A refusal that comes after a new credential is about the old one; refused twice is refused once."""
        old = await self.account("acme")
        new = await self.account("acme")
        job_id = await self.submit(account="acme")
        answer = await self.store.refuse_credential("acme", old, "revoked")
        self.assertEqual((answer.jobs, answer.orders), (0, []))
        self.assertEqual(((await self.row("acme")).state, await self.state(job_id)), ("valid", "queued"))
        self.assertEqual((await self.store.refuse_credential("acme", new, "revoked")).jobs, 1)
        self.assertEqual((await self.store.refuse_credential("acme", new, "revoked")).jobs, 0)

    async def test_a_new_credential_brings_jobs_back(self) -> None:
        """Jobs that waited are queued when a credential is put, and who wants work is called."""
        await self.refused_account("acme")
        job_id = await self.submit(account="acme")
        self.assertEqual(await self.state(job_id), "waiting_credential")
        called: list[int] = []
        self.store.on_work(lambda: called.append(1))
        await self.account("acme")
        # Observers may be called just after the caller has been answered.
        self.assertEqual(await self.state(job_id), "queued")
        self.assertTrue(called)
        self.assertEqual(len(await self.assign(await self.session())), 1)

    async def test_a_late_refresh_brings_jobs_back(self) -> None:
        """A refresh that succeeds after all makes the credential valid and the jobs go on."""
        generation = await self.account("acme")
        job_id = await self.submit(account="acme")
        await self.store.refuse_credential("acme", generation, "slow")
        await self.store.finish_refresh("acme", generation, SealedCredential(b"late"), None)
        self.assertEqual(await self.state(job_id), "queued")

    async def test_resuming_while_refused_waits(self) -> None:
        """A paused or failed job of a refused account, resumed or retried, waits for the credential."""
        generation = await self.account("acme")
        paused = await self.bring(State.PAUSED, account="acme")
        failed = await self.bring(State.FAILED, account="acme")
        await self.store.refuse_credential("acme", generation, "revoked")
        await self.store.resume(paused.job_id, tree=False, reason=None, actor="test")
        await self.store.retry(failed.job_id, tree=False, reason=None, actor="test")
        self.assertEqual(await self.states((paused.job_id, failed.job_id)), ["waiting_credential"] * 2)

    async def test_what_expires_soon_is_found(self) -> None:
        """OAuth credentials that expire within the time asked for are found; others need no refresh."""
        await self.account("soon", expires_at=self.in_(100))
        await self.account("later", expires_at=self.in_(10_000))
        await self.account("never")
        await self.account("token", kind="personal", expires_at=self.in_(100))
        generation = await self.account("refused", expires_at=self.in_(100))
        await self.store.refuse_credential("refused", generation, "revoked")
        self.assertEqual([row.account for row in await self.store.expiring_credentials(300.0)], ["soon"])
        self.assertEqual(await self.store.expiring_credentials(50.0), [])
        await self.advance(200)
        self.assertEqual([row.account for row in await self.store.expiring_credentials(50.0)], ["soon"])

    async def test_credentials_renewed_since(self) -> None:
        """Who knows some generations learns which of these credentials were renewed, and of no refused one."""
        known = {name: await self.account(name) for name in ("same", "renewed", "refused")}
        await self.account("renewed")
        await self.store.refuse_credential("refused", await self.account("refused"), "revoked")
        await self.account("stranger")
        rows = await self.store.newer_credentials({**known, "nobody": 1})
        self.assertEqual([(row.account, row.generation) for row in rows], [("renewed", 2)])
        self.assertEqual(await self.store.newer_credentials({}), [])

    async def test_who_works_for_an_account(self) -> None:
        """The sessions and leases of an account's jobs are those that are with crawlers now."""
        await self.account("acme")
        ref = await self.running(account="acme")
        await self.running()
        await self.submit(account="acme")
        found = await self.store.sessions_of_account("acme")
        self.assertEqual([tuple(row) for row in found], [(ref.session_id, ref.job_id, ref.lease)])
