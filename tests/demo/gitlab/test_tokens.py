"""Who may ask the sample GitLab."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from crawlsock.demo.gitlab.errors import ApiError
from crawlsock.demo.gitlab.options import Options
from crawlsock.demo.gitlab.tokens import TokenBook


def _bearer(token: str) -> dict[str, str | None]:
    return {"authorization": f"Bearer {token}"}


class TokenTests(TestCase):
    """Expiry, rotation and refusal."""

    def _book(self, **given: object) -> TokenBook:
        return TokenBook.open(1, Options(**given), 1000.0)  # type: ignore[arg-type]

    def _refused(self, book: TokenBook, headers: dict[str, str | None], now: float = 1000.0) -> ApiError:
        return self.assertRaises(ApiError, book.admit, headers, now)  # type: ignore[no-any-return]

    def _refresh(self, book: TokenBook, token: str, **more: str) -> dict[str, object]:
        return book.refresh({"grant_type": "refresh_token", "refresh_token": token, **more}, 1000.0)

    def test_personal(self) -> None:
        """A personal token works in both headers, for ever."""
        book = self._book(token_seconds=1, token_requests=1)
        token = book.personal_tokens[0]
        for headers in ({"private-token": token}, _bearer(token)):
            self.assertEqual(book.admit(headers, 1e9), token)

    def test_none_and_unknown(self) -> None:
        """Without a token, or with one never given out, the answer is GitLab's plain 401."""
        for headers in (
            {},
            {"private-token": "nonsense"},
            _bearer("nonsense"),
            {"authorization": "Basic eDp5"},
        ):
            refusal = self._refused(self._book(), dict(headers))
            self.assertEqual((refusal.status, refusal.body), (401, {"message": "401 Unauthorized"}))

    def test_anonymous(self) -> None:
        """Requests without a token pass where that was allowed, but wrong tokens still do not."""
        book = self._book(anonymous_access=True)
        self.assertIsNone(book.admit({}, 1000.0))
        self.assertEqual(self._refused(book, _bearer("nonsense")).status, 401)

    def test_expires_by_time(self) -> None:
        """An access token works until its seconds are over, and then is refused as OAuth says it."""
        book = self._book(token_seconds=60)
        token = book.pairs[0].access_token
        book.admit(_bearer(token), 1059.9)
        refusal = self._refused(book, _bearer(token), 1060.0)
        self.assertEqual((refusal.status, refusal.body["error"]), (401, "invalid_token"))
        self.assertIn('error="invalid_token"', refusal.headers["WWW-Authenticate"])

    def test_expires_by_requests(self) -> None:
        """An access token that lasts for three requests is refused at the fourth."""
        book = self._book(token_requests=3)
        headers = _bearer(book.pairs[0].access_token)
        for _ in range(3):
            book.admit(headers, 1000.0)
        self.assertEqual(self._refused(book, headers).body["error"], "invalid_token")

    def test_rotation(self) -> None:
        """A refresh gives a new pair, and ends both tokens of the old one at once."""
        book = self._book(token_seconds=60)
        old = book.pairs[0]
        fresh = self._refresh(book, old.refresh_token)
        self.assertEqual((fresh["token_type"], fresh["expires_in"], fresh["created_at"]), ("Bearer", 60, 1000))
        book.admit(_bearer(str(fresh["access_token"])), 1000.0)
        self.assertEqual(self._refused(book, _bearer(old.access_token)).body["error"], "invalid_token")
        refusal = self.assertRaises(ApiError, self._refresh, book, old.refresh_token)
        self.assertEqual((refusal.status, refusal.body["error"]), (400, "invalid_grant"))
        self.assertEqual((book.refreshes, book.refreshes_refused), (1, 1))
        self._refresh(book, str(fresh["refresh_token"]))

    def test_refresh_of_an_expired_token(self) -> None:
        """A refresh token outlives its access token."""
        book = self._book(token_seconds=60)
        book.refresh({"grant_type": "refresh_token", "refresh_token": book.pairs[0].refresh_token}, 1e6)
        self.assertEqual(book.refreshes, 1)

    def test_revoked(self) -> None:
        """A revoked pair neither works nor refreshes."""
        book = self._book()
        book.revoke(book.pairs[0])
        self.assertEqual(self._refused(book, _bearer(book.pairs[0].access_token)).body["error"], "invalid_token")
        self.assertRaises(ApiError, self._refresh, book, book.pairs[0].refresh_token)

    def test_bad_requests(self) -> None:
        """Other grants, missing tokens and wrong clients get OAuth's own errors."""
        book = self._book(client_id="app", client_secret="quiet")
        client = {"client_id": "app", "client_secret": "quiet"}
        for form, wanted in (
            ({}, (401, "invalid_client")),
            ({"client_id": "app", "client_secret": "loud"}, (401, "invalid_client")),
            ({**client, "grant_type": "password"}, (400, "unsupported_grant_type")),
            ({**client, "grant_type": "refresh_token"}, (400, "invalid_request")),
            ({**client, "grant_type": "refresh_token", "refresh_token": "x"}, (400, "invalid_grant")),
        ):
            refusal = self.assertRaises(ApiError, book.refresh, form, 1000.0)
            self.assertEqual((refusal.status, refusal.body["error"]), wanted)
        self._refresh(book, book.pairs[0].refresh_token, **client)
