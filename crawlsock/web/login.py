"""Signing in and out.

The law: GET changes nothing, so that whoever looks at a link on its way, a mail scanner or a browser that reads ahead,
uses nothing up. What signs in is a press of the button, from our own page. A code is no longer in the browser's address
when the person is in, and a cookie is never readable by a script.
"""

# Twisted's web server is not typed.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import crawlsock
from crawlsock.config import LiveSettings
from crawlsock.server.calls import Caller
from crawlsock.server.logins import LoginDesk
from crawlsock.store.values import rfc3339
from crawlsock.web.api import admit
from crawlsock.web.gate import Gate, cookie_of
from crawlsock.web.problems import Problem
from crawlsock.web.render import Renderer
from crawlsock.web.resource import HTML, Answer, WebResource, json_answer, redirect
from crawlsock.web.safety import check_origin
from crawlsock.wire.errors import ErrorCode, Refusal

if TYPE_CHECKING:
    from crawlsock.web.site import WebRequest

AFTER_LOGIN: Final = "/"
AFTER_LOGOUT: Final = "/login"
_CODE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_FORM: Final = "application/x-www-form-urlencoded"


class Login(WebResource):
    """``/login``: the page that a link leads to, and what its button does."""

    isLeaf = True

    def __init__(self, gate: Gate, logins: LoginDesk, renderer: Renderer, settings: LiveSettings) -> None:
        super().__init__()
        self._gate = gate
        self._logins = logins
        self._renderer = renderer
        self._settings = settings

    async def get(self, request: WebRequest) -> Answer:
        """Show the button, or, without a code, how to get a link."""
        query = parse_qs(request.uri.partition(b"?")[2].decode("ascii", "replace"))
        codes = query.get("code", [])
        code = codes[0] if len(codes) == 1 and _CODE.fullmatch(codes[0]) else None
        # Pages lead here when a sign-in has ended under them.
        return self._page(200, code=code, failed=False, ended=query.get("reason") == ["ended"])

    async def post(self, request: WebRequest) -> Answer:
        """Use the code up, and give the browser its cookie."""
        check_origin(request, request.secure, self._settings.current.http_public_url)
        if (request.getHeader("Content-Type") or "").partition(";")[0].strip().lower() != _FORM:
            raise Problem("unsupported_media_type", f"the sign-in is a form: {_FORM}")
        codes = parse_qs(request.read().decode("ascii", "replace")).get("code", [])
        signed_in = None
        if len(codes) == 1 and _CODE.fullmatch(codes[0]):
            self._gate.charge_stranger()
            signed_in = await self._logins.use(codes[0])
        if signed_in is None:
            return self._page(403, code=None, failed=True)
        before = request.getCookie(cookie_of(request).encode())
        if before is not None:
            await self._logins.end(before)
        lifetime = int(self._settings.current.web_session_lifetime)
        return redirect(AFTER_LOGIN, {"Set-Cookie": _cookie(request, signed_in.cookie, lifetime)})

    def _page(self, status: int, **values: Any) -> Answer:
        return Answer(self._renderer.render("login.html", **values), HTML, status)


class Logout(WebResource):
    """``/logout``: the button that ends a session."""

    isLeaf = True

    def __init__(self, gate: Gate, logins: LoginDesk) -> None:
        super().__init__()
        self._gate = gate
        self._logins = logins

    async def post(self, request: WebRequest) -> Answer:
        """End the session that the cookie names, and forget the cookie."""
        check_origin(request, request.secure, request.site.settings().http_public_url)
        await _sign_out(request, self._gate, self._logins)
        return redirect(AFTER_LOGOUT, {"Set-Cookie": _cookie(request, "", 0)})


class Session(WebResource):
    """``/api/v1/session``: who the server takes the caller for."""

    isLeaf = True

    def __init__(self, gate: Gate, logins: LoginDesk, settings: LiveSettings, server_id: str) -> None:
        super().__init__()
        self._gate = gate
        self._logins = logins
        self._settings = settings
        self._server_id = server_id

    async def get(self, request: WebRequest) -> Answer:
        """Show it."""
        return json_answer(self._view(await admit(self._gate, request)))

    async def delete(self, request: WebRequest) -> Answer:
        """End the session of a cookie."""
        caller = await admit(self._gate, request)
        if caller.by != "cookie":
            raise Refusal(ErrorCode.INVALID_STATE, "this is a token, not a session; an admin ends it with token_revoke")
        await _sign_out(request, self._gate, self._logins)
        return Answer(status=204, headers={"Set-Cookie": _cookie(request, "", 0)})

    def _view(self, caller: Caller) -> dict[str, Any]:
        view: dict[str, Any] = {
            "role": caller.role,
            "name": caller.token_name,
            "by": caller.by,
            "server": {
                "name": self._settings.current.server_name,
                "version": crawlsock.__version__,
                "server_id": self._server_id,
            },
        }
        if caller.accounts is not None:
            view["accounts"] = sorted(caller.accounts)
        if caller.expires_at is not None:
            view["expires_at"] = rfc3339(caller.expires_at)
        return view


async def _sign_out(request: WebRequest, gate: Gate, logins: LoginDesk) -> None:
    cookie: bytes | None = request.getCookie(cookie_of(request).encode())
    if cookie is None:
        return
    await logins.end(cookie)
    gate.signed_out(cookie)


def _cookie(request: WebRequest, value: str, lifetime: int) -> str:
    secure = "; Secure" if request.secure else ""
    return f"{cookie_of(request)}={value}; Path=/; Max-Age={lifetime}; HttpOnly; SameSite=Strict{secure}"
