"""Line: requests over connections of our own to one server of S3. What goes wrong is raised as botocore raises it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import attrs

from media_watch_tasks.http.heard import GarbledError, Heard
from media_watch_tasks.http.outgoing import LateError, LostError, Outgoing, StallError
from media_watch_tasks.http.wires import ConnectError, TlsError, Wires
from media_watch_tasks.uploaders.s3._boto3 import exceptions

__all__ = ["Line", "SendingFailed"]


class SendingFailed(Exception):  # noqa: N818 - what happened
    """The connection ended before everything was sent: the server may have said why, which got lost with it."""


@attrs.define
class Line:
    """Connections to one server; thread-safe.

    Args:
        host: its name or address.
        port: its port.
        context: None for plain HTTP.
        connect_timeout: seconds.
        read_timeout: seconds in which nothing is taken while sending, or no whole answer comes afterwards.
        most: connections that are kept open.
    """

    host: str
    port: int
    context: ssl.SSLContext | None = attrs.field(kw_only=True)
    connect_timeout: float = attrs.field(kw_only=True)
    read_timeout: float = attrs.field(kw_only=True)
    most: int = attrs.field(kw_only=True)
    _wires: Wires = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._wires = Wires(self.host, self.port, context=self.context, most=self.most)

    @property
    def url(self) -> str:
        """For messages."""
        return f"{'http' if self.context is None else 'https'}://{self.host}:{self.port}"

    def exchange(
        self,
        head: bytes,
        body: Iterator[bytes | memoryview],
        *,
        length: int,
        ask_first: bool,
        wanted: Callable[[], object],
    ) -> Heard:
        """Send a request, and hear the answer.

        Args:
            head: everything before the body.
            body: pieces; what it raises is raised, and the connection is closed.
            length: bytes of all of them.
            ask_first: the head says `Expect: 100-continue`: a refusal is heard before the body was sent.
            wanted: called at least four times a second; raises where nobody waits any more.

        Raises:
            SendingFailed: the connection broke, or a good answer came, before the request was sent.
            botocore.exceptions.HTTPClientError: no connection, a time-out, or one that broke later.
        """
        request = Outgoing(
            head=head,
            length=length,
            pieces=body,
            ask_first=ask_first,
            stall_seconds=self.read_timeout,
            answer_seconds=self.read_timeout,
            wanted=wanted,
        )
        try:
            heard = self._wires.exchange(request, connect_seconds=self.connect_timeout)
        except TlsError as error:
            raise exceptions.SSLError(endpoint_url=self.url, error=error) from error
        except ConnectError as error:
            kind = exceptions.ConnectTimeoutError if error.late else exceptions.EndpointConnectionError
            raise kind(endpoint_url=self.url, error=error) from error
        except (StallError, LateError) as error:
            raise exceptions.ReadTimeoutError(endpoint_url=self.url, error=error) from error
        except LostError as error:
            if error.sending:
                raise SendingFailed(str(error)) from error
            raise exceptions.ConnectionClosedError(endpoint_url=self.url, error=error) from error
        except GarbledError as error:
            raise exceptions.ConnectionClosedError(endpoint_url=self.url, error=error) from error
        if not heard.all_sent and heard.status < 300:  # noqa: PLR2004 - the class of good statuses
            raise SendingFailed(f"it was answered {heard.status} before everything was sent")
        return heard

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._wires.close()
