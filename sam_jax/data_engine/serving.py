"""Starting the server: its address, its token, and the browser."""

import contextlib
import secrets
import socket
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn

from sam_jax.data_engine.access import is_loopback
from sam_jax.data_engine.browser_decoding import NO_OFFER, BrowserDecoding, make_offer
from sam_jax.data_engine.database import Database
from sam_jax.data_engine.preparation import Preparation
from sam_jax.data_engine.renewal import Renewal
from sam_jax.data_engine.segmenter import Segmenter
from sam_jax.data_engine.server import make_app
from sam_jax.data_engine.versions import name_weights, open_version_in_use
from sam_jax.data_engine.workplace import Workplace
from sam_jax.messages import LifeSigns
from sam_jax.types import InputError

_SECONDS_TO_END = 3


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """Where the server listens and what it keeps.

    Attributes:
        host: Address to listen at.
        port: Port; 0 for any that is free.
        token: Token that browsers show; None for a random one where the address is not a loopback one.
        opens_browser: Whether a browser is opened.
        embeddings: Folder of embeddings of photos.
        embedding_bytes: Size of that folder's embeddings of one model at most.
        decodes_in_browser: Whether browsers get what they need to decode by themselves.
        runtime: Folder or .tgz file of the package onnxruntime-web for that; None to let npm fetch it.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    opens_browser: bool = True
    embeddings: Path
    embedding_bytes: int
    decodes_in_browser: bool = False
    runtime: Path | None = None


def serve(
    listener: socket.socket,
    photos: Path,
    database: Database,
    checkpoint: Path | None,
    config: ServingConfig,
    say: Callable[[str], None],
) -> None:
    """Serve the page until the process is told to end, with the version of the model that is in use.

    Args:
        listener: Socket at the address that the configuration names, from `listen`.
        photos: Folder of the photos.
        database: Database of their masks.
        checkpoint: Weights that are put in use if the database does not know them yet; None for those in use, or for
            the shipped ones where none are.
        config: Where the server listens and what it keeps.
        say: Prints a line.

    Raises:
        CheckpointError: The weights cannot be read.
        InputError: The folder has no photos, the weights in use are not those that they were, or the runtime that is
            named is another one.
        DatabaseError: The database cannot be reached.
    """
    with contextlib.closing(listener):
        offer = NO_OFFER
        with LifeSigns() as signs:
            if config.decodes_in_browser:
                signs.begin("looking for onnxruntime-web")
                offer = make_offer(config.runtime)
            signs.begin("loading the weights")
            version, model = open_version_in_use(database, checkpoint)
        assert version.name is not None
        if version.number or (
            checkpoint is not None and name_weights(checkpoint) != version.weights
        ):
            say(f"version {version.number} of the model is in use: {version.name}")
        if config.decodes_in_browser and offer.problem is not None:
            say(f"browsers cannot decode: {offer.problem}")
        make_segmenter = partial(
            Segmenter, folder=config.embeddings, most_bytes=config.embedding_bytes, say=say
        )
        workplace = Workplace(photos, database, make_segmenter(model), version.name, say)
        token = None if is_loopback(config.host) else (config.token or secrets.token_urlsafe(18))
        decoding = BrowserDecoding(workplace, offer)
        app = make_app(workplace, decoding, token or config.token, say)
        port = listener.getsockname()[1]
        shown = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{shown}:{port}/"
        if token or config.token:
            address += f"?token={token or config.token}"
        preparation = Preparation(workplace, say)
        preparation.start()
        renewal = Renewal(workplace, make_segmenter, say)
        renewal.start()
        say(f"annotate at {address} (Ctrl-C ends it; everything is saved as it is made)")
        if config.opens_browser:
            webbrowser.open(address)
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_SECONDS_TO_END,
        )
        try:
            uvicorn.Server(settings).run(sockets=[listener])
        finally:
            renewal.stop()
            preparation.stop()


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address, which is refused or taken before anything else is done.

    Args:
        host: Address of this machine.
        port: Port; 0 for any that is free.

    Raises:
        InputError: The address is none of this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot listen at {host}, port {port}: {reason}; choose another --port"
        ) from error
    listener.listen(128)
    listener.set_inheritable(True)
    return listener
