"""Who may talk to the server: programs of this machine, or whoever has the token."""

import hmac
import ipaddress
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "sam_jax_token"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""What every answer tells the browser: nothing is taken from elsewhere, and nobody frames the page.

A page that is so isolated may run WebAssembly in several threads.
"""


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """Lets through who may; a layer around an ASGI application.

    Without a token, the name that the browser has for the server must be one of this machine's own: a page from
    elsewhere, whose name is made to lead here, is not let in.

    Args:
        app: The application.
        token: Token that whoever comes has to show; None on a loopback address.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        refusal = self._refuse(scope)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is None:
            name = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
            if name in LOCAL_NAMES or headers.get("host") in LOCAL_NAMES:
                return None
            return JSONResponse({"error": "this server answers to this machine only"}, 403)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and self._is_token(query.get("token", [""])[0]):
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            return response
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_token(bearer) or self._is_token(_read_cookie(headers.get("cookie", ""))):
            return None
        problem = "a token is needed: open the address that sam-jax annotate has printed"
        if scope["path"] == "/":
            return PlainTextResponse(problem, 401)
        return JSONResponse({"error": problem}, 401)

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())


def _read_cookie(header: str) -> str:
    cookie = SimpleCookie()
    try:
        cookie.load(header)
    except Exception:  # whatever the browser has sent
        return ""
    return cookie[COOKIE].value if COOKIE in cookie else ""
