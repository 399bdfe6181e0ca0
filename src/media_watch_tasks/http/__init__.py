"""What uploaders over HTTP share: a session with credentials, time-outs, bodies and one classification of answers.

    session = HttpSession("https://api.example.org/", feature="MyUploader", auth=BearerAuth(token, refresh=renew))
    body = MediaBody(media, context)            # confirms before its last piece, knows `sha256` once it was sent
    answer = session.request("PUT", url, body=body, headers={…}, expected={200, 201}, cancel=context.cancel)
    answer.status, answer.headers["etag"], answer.json(), answer.location

Every other status raises what is to be done about it (`error_for`). Credentials go to the origin of the session alone:
a presigned URL elsewhere gets none of them. Needs the extra `http`; importing it does not.

`HttpByteSource` reads ranges of a file behind a URL, for a prober; it needs no extra.
"""

from media_watch_tasks.http.answers import Answer
from media_watch_tasks.http.authentication import BasicAuth, BearerAuth, HttpAuth
from media_watch_tasks.http.bodies import CHUNK, Body, MediaBody, MultipartBody
from media_watch_tasks.http.byte_source import HttpByteSource
from media_watch_tasks.http.classification import error_for, retry_delay
from media_watch_tasks.http.origins import origin_of, same_origin, shown
from media_watch_tasks.http.retry_after import parse_retry_after
from media_watch_tasks.http.session import DONE, Headers, HttpSession, new_client
from media_watch_tasks.http.timeouts import HttpTimeouts

__all__ = [
    "CHUNK",
    "DONE",
    "Answer",
    "BasicAuth",
    "BearerAuth",
    "Body",
    "Headers",
    "HttpAuth",
    "HttpByteSource",
    "HttpSession",
    "HttpTimeouts",
    "MediaBody",
    "MultipartBody",
    "error_for",
    "new_client",
    "origin_of",
    "parse_retry_after",
    "retry_delay",
    "same_origin",
    "shown",
]
