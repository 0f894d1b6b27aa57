"""Claims about what a store says of itself."""

from __future__ import annotations

from tests.store.contract.base import StoreContract


class Looking(StoreContract):
    """A store says how it is, without counting everything."""

    async def test_a_store_that_is_up_has_a_pulse(self) -> None:
        """Whoever asks for the pulse of a store that is up is answered."""
        await self.store.pulse()

    async def test_a_quiet_store_is_well(self) -> None:
        """Without jobs nothing is overdue, paused or refused, and it says what database it is."""
        vitals = await self.store.vitals()
        self.assertEqual((vitals.overdue, vitals.paused_by, vitals.refused), (None, "", 0))
        self.assertLess(vitals.held_back, 5)
        self.assertTrue(vitals.version)
        self.assertLess(vitals.connections, vitals.max_connections)

    async def test_the_first_in_line_is_overdue(self) -> None:
        """The job that is first in line says since when it has been due; one that is not due yet says nothing."""
        await self.submit(run_at=self.in_(3600))
        self.assertIsNone((await self.store.vitals()).overdue)
        await self.submit()
        await self.advance(50)
        overdue = (await self.store.vitals()).overdue
        assert overdue is not None
        self.assertTrue(49 < overdue < 55, overdue)

    async def test_what_is_paused_is_not_overdue(self) -> None:
        """Jobs of a paused type are passed over; when everything is paused the store says by whom."""
        await self.submit("crawl_group")
        await self.store.pause_queue("crawl_group", True, None, "one")
        self.assertIsNone((await self.store.vitals()).overdue)
        await self.submit("crawl_project")
        self.assertIsNotNone((await self.store.vitals()).overdue)
        await self.store.pause_queue(None, True, "upgrade", "two")
        vitals = await self.store.vitals()
        self.assertEqual((vitals.overdue, vitals.paused_by), (None, "two"))

    async def test_refused_credentials_are_counted(self) -> None:
        """Every account whose credential was refused counts one."""
        await self.refused_account("locked")
        await self.account("open")
        self.assertEqual((await self.store.vitals()).refused, 1)
