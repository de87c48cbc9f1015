"""The server that the browser talks to: JSON in, JSON out, and tiles of photos."""

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sam_jax.data_engine.access import Access
from sam_jax.data_engine.browser_decoding import BrowserDecoding
from sam_jax.data_engine.database import DatabaseFullError
from sam_jax.data_engine.mask_states import LARGEST_NUMBER, read_count, read_name, read_text
from sam_jax.data_engine.photos import LONGEST_NAME, ConflictError, MissingError
from sam_jax.data_engine.statistics import summarise
from sam_jax.data_engine.workplace import GoneError, Workplace
from sam_jax.types import InputError, RunError

STATIC = Path(__file__).parent / "static"
"""The page, built from web/."""
MOST_BYTES = 16 << 20
"""Size of a request at most; a mask of many thousand runs has a few hundred kilobytes."""
PHOTOS_A_PAGE = 1000
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
}
_BYTES = "application/octet-stream"
_FOREVER = "private, max-age=31536000, immutable"
"""How long browsers keep what has its version in its address."""
_STATUS = (
    (GoneError, 410),
    (MissingError, 404),
    (ConflictError, 409),
    (InputError, 400),
    (DatabaseFullError, 507),
    (RunError, 503),
)

Answer = Any
Handle = Callable[[Request, dict[str, Any]], Answer]
"""From a request and its JSON to what is answered as JSON, or a response; runs in a thread."""


def make_app(
    workplace: Workplace,
    decoding: BrowserDecoding,
    token: str | None,
    say: Callable[[str], None],
) -> ASGIApp:
    """The application.

    Args:
        workplace: Photos, masks and model.
        decoding: What browsers get that decode by themselves.
        token: Token that whoever comes has to show; None on a loopback address.
        say: Prints a line about what went wrong.
    """
    site = _Site(workplace, decoding)
    pages = {f"/{path.name}": path for path in sorted(STATIC.iterdir()) if path.suffix in _TYPES}
    pages["/"] = STATIC / "index.html"
    routes = [Route(url, _serve_file(path)) for url, path in pages.items()]
    photo = "/api/photos/{photo:int}"
    gets = {
        "/api/status": site.status,
        "/api/photos": site.list_photos,
        "/api/statistics": site.statistics,
        f"{photo}/tiles/{{level:int}}/{{column:int}}/{{row:int}}": site.tile,
        f"{photo}/embeddings/{{digest}}": site.embedding,
        "/api/decoding": site.decoding,
        "/api/decoders/{digest}": site.decoder,
        "/ort/{version}/{name}": site.runtime,
    }
    posts = {
        "/api/next": site.open_next,
        f"{photo}/open": site.open,
        f"{photo}/renew": site.renew,
        f"{photo}/release": site.release,
        f"{photo}/finish": site.finish,
        f"{photo}/predict": site.predict,
        f"{photo}/changes": site.change,
        f"{photo}/undo": site.undo,
        f"{photo}/redo": site.redo,
    }
    for method, handles in (("GET", gets), ("POST", posts)):
        routes += [
            Route(url, _answer(handle, say), methods=[method]) for url, handle in handles.items()
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _explain_http})
    return Access(app, token)


class _Site:
    """What the addresses do."""

    def __init__(self, workplace: Workplace, decoding: BrowserDecoding) -> None:
        self._workplace = workplace
        self._decoding = decoding

    def status(self, _request: Request, _body: dict[str, Any]) -> Answer:
        return self._workplace.status()

    def list_photos(self, request: Request, _body: dict[str, Any]) -> Answer:
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdecimal() and len(after) < 10):
            raise InputError("after is the number of a photo")
        return {"photos": self._workplace.list_photos(int(after), PHOTOS_A_PAGE)}

    def statistics(self, _request: Request, _body: dict[str, Any]) -> Answer:
        with self._workplace.database.reading() as connection:
            return summarise(connection)

    def tile(self, request: Request, _body: dict[str, Any]) -> Answer:
        numbers = [request.path_params[name] for name in ("level", "column", "row")]
        if max(numbers) > LARGEST_NUMBER:
            raise MissingError("there is no such tile")
        opened = self._workplace.read_picture(_photo_of(request))
        content = opened.picture.encode_tile(*numbers)
        if content is None:
            raise MissingError("there is no such tile")
        return _give(content, "image/jpeg", is_kept=_is_version(request, opened.key))

    def embedding(self, request: Request, _body: dict[str, Any]) -> Answer:
        digest = request.path_params["digest"]
        version, content = self._decoding.read_embedding(_photo_of(request), digest)
        return _give(content, _BYTES, is_kept=_is_version(request, version))

    def decoding(self, _request: Request, _body: dict[str, Any]) -> Answer:
        return self._decoding.describe()

    def decoder(self, request: Request, _body: dict[str, Any]) -> Answer:
        content = self._decoding.read_decoder(request.path_params["digest"])
        return _give(content, _BYTES, is_kept=True)

    def runtime(self, request: Request, _body: dict[str, Any]) -> Answer:
        name = request.path_params["name"]
        content = self._decoding.read_runtime(request.path_params["version"], name)
        return _give(content, _TYPES[Path(name).suffix], is_kept=True)

    def open_next(self, _request: Request, body: dict[str, Any]) -> Answer:
        after = body.get("after")
        number = None if after is None else read_count(after, "after", LARGEST_NUMBER)
        return {"opened": self._workplace.open_next(_person_of(body), number)}

    def open(self, request: Request, body: dict[str, Any]) -> Answer:
        lease = None if body.get("lease") is None else _lease_of(body)
        opened = self._workplace.open(_photo_of(request), _person_of(body), lease)
        return {"opened": opened}

    def renew(self, request: Request, body: dict[str, Any]) -> Answer:
        self._workplace.renew(_photo_of(request), _lease_of(body))
        return {}

    def release(self, request: Request, body: dict[str, Any]) -> Answer:
        self._workplace.release(_photo_of(request), _lease_of(body))
        return {}

    def finish(self, request: Request, body: dict[str, Any]) -> Answer:
        is_finished = body.get("is_finished")
        if not isinstance(is_finished, bool):
            raise InputError("is_finished is true or false")
        self._workplace.finish(_photo_of(request), _lease_of(body), is_finished=is_finished)
        return {}

    def predict(self, request: Request, body: dict[str, Any]) -> Answer:
        is_preview = body.get("is_preview", False)
        if not isinstance(is_preview, bool):
            raise InputError("is_preview is true or false")
        return self._workplace.predict(
            _photo_of(request), body.get("prompt"), is_preview=is_preview
        )

    def change(self, request: Request, body: dict[str, Any]) -> Answer:
        return self._workplace.change(
            _photo_of(request),
            _lease_of(body),
            read_name(body.get("change_id"), "change_id"),
            read_text(body.get("kind"), "kind", 20),
            body.get("mask"),
        )

    def undo(self, request: Request, body: dict[str, Any]) -> Answer:
        number = read_count(body.get("number"), "number", LARGEST_NUMBER)
        return self._workplace.undo(_photo_of(request), _lease_of(body), number)

    def redo(self, request: Request, body: dict[str, Any]) -> Answer:
        number = read_count(body.get("number"), "number", LARGEST_NUMBER)
        return self._workplace.redo(_photo_of(request), _lease_of(body), number)


def _give(content: bytes, kind: str, *, is_kept: bool) -> Response:
    age = _FOREVER if is_kept else "no-store"
    return Response(content, media_type=kind, headers={"cache-control": age})


def _is_version(request: Request, version: str) -> bool:
    """Whether the address names the version of a photo that is there."""
    return request.query_params.get("version") == version


def _photo_of(request: Request) -> int:
    number = request.path_params["photo"]
    if number > LARGEST_NUMBER:
        raise MissingError(f"no photo has the number {number}"[:60])
    return number


def _lease_of(body: dict[str, Any]) -> str:
    return read_name(body.get("lease"), "lease")


def _person_of(body: dict[str, Any]) -> str:
    person = read_text(body.get("person"), "person", LONGEST_NAME)
    if not person:
        raise InputError("person is a name")
    return person


def _answer(handle: Handle, say: Callable[[str], None]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            body = await _read_body(request) if request.method == "POST" else {}
            answered = await run_in_threadpool(handle, request, body)
        except (InputError, RunError) as error:
            status = next(status for kind, status in _STATUS if isinstance(error, kind))
            if status >= 500:
                say(str(error))
            return JSONResponse({"error": str(error)}, status)
        except ClientDisconnect:
            return Response(status_code=400)
        except HTTPException:
            raise
        except Exception:
            say(traceback.format_exc())
            problem = "the server has met an error of its own; its terminal says more"
            return JSONResponse({"error": problem}, 500)
        if isinstance(answered, Response):
            return answered
        return JSONResponse(answered, headers={"cache-control": "no-store"})

    return answer


async def _read_body(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries.

    Raises:
        InputError: It carries something else.
        HTTPException: It is too large, or says that it is no JSON, as a form of a foreign page would.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "requests are application/json")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"a request has at most {MOST_BYTES >> 20} MB")
    try:
        body = json.loads(bytes(content), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError("the request is no JSON") from error
    if not isinstance(body, dict):
        raise InputError("the request is no object")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _serve_file(path: Path) -> Callable[[Request], Any]:
    content, kind = path.read_bytes(), _TYPES[path.suffix]

    async def serve(_request: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return serve


async def _explain_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
