"""A server of Google Cloud Storage on this machine: the emulator, and what `obstore` asks that it doesn't know."""

import contextlib
import sys
import threading
from http.server import ThreadingHTTPServer
from xml.sax.saxutils import escape

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets, objects

BUCKET = "pod"


def list_objects(request, response, storage):
    """The listing of the XML protocol, in one page."""
    prefix, delimiter = (request.query.get(name, [""])[0] for name in ("prefix", "delimiter"))
    found, folders = storage.get_file_list(request.params["bucket_name"], prefix, delimiter or None)
    contents = "".join(
        f"<Contents><Key>{escape(about['name'])}</Key><LastModified>{about['updated']}</LastModified>"
        f"<ETag>{about['etag']}</ETag><Size>{about['size']}</Size></Contents>"
        for about in found
    )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
    )
    response["Content-type"] = "application/xml"
    response.write_file(
        f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{prefixes}</ListBucketResult>".encode(),
        "application/xml",
    )


def remove_object(request, response, storage):
    """The removal of the XML protocol."""
    try:
        storage.delete_file(request.params["bucket_name"], request.params["object_id"])
    except NotFound:
        response.status = server.HTTPStatus.NOT_FOUND


def download(request, response, storage, *rest, **named):
    """What the emulator does, and the object's generation, by which TensorStore tells whether it has changed."""
    with contextlib.suppress(NotFound):
        about = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
        response["x-goog-generation"] = about["generation"]
    plain_download(request, response, storage, *rest, **named)


plain_download, objects.download = objects.download, download


def put_object(request, response, storage):
    """The upload of the XML protocol, which the emulator has, but not for objects without content."""
    if request.data is None:
        request._data = b""
    objects.xml_upload(request, response, storage)


class Handler(server.RequestHandler):
    """Knows HEAD, and says when an object was changed and what its tag is."""

    def do_HEAD(self):
        body, self.wfile = self.wfile, Headers(self.wfile)
        server.Router(self).handle(server.GET)
        self.wfile = body

    def end_headers(self):
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("ETag", '"0"')
        super().end_headers()


class Headers:
    """Passes on what comes before the first empty line."""

    def __init__(self, stream):
        self._stream, self._is_over = stream, False

    def write(self, content):
        if not self._is_over:
            self._stream.write(content)
        self._is_over = self._is_over or content.endswith(b"\r\n\r\n")

    def flush(self):
        self._stream.flush()


def one_at_a_time(handle):
    """The emulator's store is not made for several requests at a time."""

    def handle_alone(self):
        with ONE:
            handle(self)

    return handle_alone


ONE = threading.Lock()
for name in ("do_GET", "do_HEAD", "do_POST", "do_PUT", "do_PATCH", "do_DELETE"):
    if hasattr(Handler, name):
        setattr(Handler, name, one_at_a_time(getattr(Handler, name)))


if __name__ == "__main__":
    *routes, (pattern, _) = server.HANDLERS
    server.HANDLERS = (
        *routes,
        (r"^/(?P<bucket_name>[-.\w]+)/?$", {server.GET: list_objects}),
        (
            pattern,
            {server.GET: download, server.PUT: put_object, server.DELETE: remove_object},
        ),
    )
    storage = server.Storage(use_memory_fs=True)
    buckets.create_bucket(BUCKET, storage)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), lambda *request: Handler(storage, *request))
    print("http://{}:{}".format(*httpd.server_address), flush=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    sys.stdin.read()
