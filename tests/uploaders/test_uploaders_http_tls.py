"""Over TLS, where a readable connection need not mean an answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.certificates import write_certificate
from tests.uploaders.fault_server import FaultServer, Trouble

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import DestinationOfflineError, OperationCancelled, PermanentError, TransientError
from media_watch_tasks.http import new_client
from media_watch_tasks.uploaders import HttpUploader


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_certificate(tmp_path_factory.mktemp("tls") / "certificate.pem")


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


Make = Callable[[FaultServer], HttpUploader]


@pytest.fixture(params=["direct", "httpx2"])
def uploader_for(request: pytest.FixtureRequest, rig: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes an uploader that trusts the certificate: past httpx2 as the environment says, or by a client."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    def make(server: FaultServer) -> HttpUploader:
        client = None
        if request.param == "httpx2":
            client = rig.stack.enter_context(new_client(verify=ssl.create_default_context(cafile=str(certificate))))
        made: HttpUploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}", client=client))
        assert (made._session._direct is None) is (request.param == "httpx2")
        return made

    return make


def test_files_arrive_over_tls(rig: Any, payload: bytes, tls: ssl.SSLContext, uploader_for: Make) -> None:
    with FaultServer(tls=tls) as server:
        uploader = uploader_for(server)
        for name, data in (("large.mov", payload), ("small.mov", b"footage"), ("empty.mov", b"")):
            media = rig.media(name, data)
            uploader.upload(media, rig.context(media))
        assert server.bodies == [payload, b"footage", b""]
        assert len({seen.connection for seen in server.seen}) == 1


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Trouble(status=413, after=100_000), PermanentError),
        (Trouble(status=503, after=100_000), TransientError),
        (Trouble(reset=True, after=1 << 20), TransientError),
    ],
)
def test_troubles_over_tls_mean_the_same(  # noqa: PLR0917 - pytest gives parameters by name
    rig: Any, payload: bytes, tls: ssl.SSLContext, uploader_for: Make, trouble: Trouble, error: type[Exception]
) -> None:
    with FaultServer([trouble], tls=tls) as server:
        media = rig.media("clip.mov", payload)
        context = rig.context(media)
        with pytest.raises(error):
            uploader_for(server).upload(media, context)
        assert context.bytes_read < len(payload)
        assert rig.tree.open_streams == 0


def test_a_cancelled_upload_over_tls_ends(rig: Any, payload: bytes, tls: ssl.SSLContext, uploader_for: Make) -> None:
    token = CancelToken()
    hangs = Trouble(silent=True, after=1 << 20, calls=lambda: token.cancel(CancelReason.USER))
    with FaultServer([hangs], tls=tls) as server:
        media = rig.media("clip.mov", payload)
        with pytest.raises(OperationCancelled):
            uploader_for(server).upload(media, rig.context(media, cancel=token))


def test_a_certificate_that_nobody_vouches_for_stops_everything(rig: Any, tls: ssl.SSLContext) -> None:
    with FaultServer(tls=tls) as server:
        uploader = rig.stack.enter_context(HttpUploader(server.url + "/{path}"))
        media = rig.media("clip.mov", b"footage")
        with pytest.raises(DestinationOfflineError, match=r"(?i)certificate"):
            uploader.upload(media, rig.context(media))
        assert server.seen == []
