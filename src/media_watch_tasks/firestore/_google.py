"""The one place that touches google-cloud-firestore: connecting, the calls that this room makes, their errors.

Requests are built as plain protobuf messages: the client's own wrappers cost ten times as much for each field. Every
call passes `retry=None`, because the client would otherwise repeat writes behind the back of whoever counts attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import google.auth.exceptions
import grpc
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud import firestore
from google.cloud.firestore_v1 import types

from media_watch_tasks.errors import AuthenticationRequiredError, ConfigurationError

__all__ = ["CALL_ERRORS", "Database", "Value", "Write", "connect", "status_of"]

Value = types.Value.pb()
Write = types.Write.pb()
_CommitRequest = types.CommitRequest.pb()
_BatchGetRequest = types.BatchGetDocumentsRequest.pb()
_QueryRequest = types.RunQueryRequest.pb()
_ListRequest = types.ListDocumentsRequest.pb()

CALL_ERRORS = (GoogleAPICallError, RetryError, google.auth.exceptions.GoogleAuthError, grpc.RpcError)
"""Everything that a call raises when it did not go well."""
_EQUAL = 5
_PAGE = 300
_PARTS = ("_firestore_api", "_database_string", "_rpc_metadata")


def connect(
    client: Any | None,  # noqa: ANN401 - a firestore.Client, which is no type where the extra is missing
    *,
    project: str | None,
    database: str | None,
    credentials_file: str | None,
) -> Any:  # noqa: ANN401 - as above
    """The client given, or one made from the credentials file or the application default credentials.

    Raises:
        AuthenticationRequiredError: there are no credentials.
        ConfigurationError: the file is none, the client is none, or this release of the package is not known here.
    """
    if client is None:
        try:
            if credentials_file is not None:
                options = {} if project is None else {"project": project}
                client = firestore.Client.from_service_account_json(credentials_file, database=database, **options)
            else:
                client = firestore.Client(project=project, database=database)
        except google.auth.exceptions.DefaultCredentialsError as error:
            raise AuthenticationRequiredError(
                "Firestore: no credentials: give credentials_file=, or run `gcloud auth application-default login`",
                party="destination",
            ) from error
        except (OSError, ValueError, google.auth.exceptions.GoogleAuthError) as error:
            kind = type(error).__name__
            named = "" if credentials_file is None else f" from {credentials_file}"
            raise ConfigurationError(f"Firestore: no client can be made{named}: {kind}: {_short(error)}") from error
    if not isinstance(client, firestore.Client):
        raise ConfigurationError(f"Firestore: a google.cloud.firestore.Client is needed, not {type(client).__name__}")
    for part in _PARTS:
        if not hasattr(client, part):
            raise ConfigurationError(
                f"google-cloud-firestore {firestore.__version__} has no {part}: install a version from 2.34 on, below 3"
            )
    return client


def _short(error: BaseException) -> str:
    # Never the text of a credentials file that could not be parsed.
    return getattr(error, "strerror", None) or "is it a service-account file?"


class Database:
    """The calls, on raw messages. Thread-safe, as the client is."""

    def __init__(self, client: Any, *, timeout: float) -> None:  # noqa: ANN401 - a firestore.Client
        self._api = client._firestore_api  # noqa: SLF001 - what the client's own batches use
        self._metadata = client._rpc_metadata  # noqa: SLF001 - as above
        self._timeout = timeout
        self.name: str = client._database_string  # noqa: SLF001 - as above
        """`projects/P/databases/D`."""
        self.root = f"{self.name}/documents"

    def commit(self, writes: Sequence[Any]) -> list[Any]:
        """Apply the writes, all or none; the update time of each."""
        request = types.CommitRequest.wrap(_CommitRequest(database=self.name, writes=writes))
        answer = self._api.commit(request=request, **self._options())
        return [result.update_time for result in types.CommitResponse.pb(answer).write_results]

    def get(self, paths: Sequence[str]) -> dict[str, Any]:
        """The documents that exist, by path."""
        names = [f"{self.root}/{path}" for path in paths]
        request = types.BatchGetDocumentsRequest.wrap(_BatchGetRequest(database=self.name, documents=names))
        found = {}
        for answer in self._api.batch_get_documents(request=request, **self._options()):
            message = types.BatchGetDocumentsResponse.pb(answer)
            if message.HasField("found"):
                found[self.path_of(message.found.name)] = message.found
        return found

    def where_equal(
        self,
        collection: str,
        field: str,
        value: str,
        *,
        select: Sequence[str],
        run: Callable[[Callable[[], list[Any]]], list[Any]],
    ) -> Iterator[Any]:
        """Documents of a collection whose field has this value, in order of their names, with the selected fields.

        `run` makes the call for each page, and repeats it where that can help.
        """
        parent, _, collection_id = collection.rpartition("/")
        last: str | None = None
        while True:
            request = _QueryRequest(parent=f"{self.root}/{parent}".rstrip("/"))
            query = request.structured_query
            query.from_.add().collection_id = collection_id
            condition = query.where.field_filter
            condition.field.field_path, condition.op, condition.value.string_value = field, _EQUAL, value
            for name in select:
                query.select.fields.add().field_path = name
            query.order_by.add().field.field_path = "__name__"
            query.limit.value = _PAGE
            if last is not None:
                query.start_at.values.add().reference_value = last
                query.start_at.before = False
            page = run(partial(self._query, request))
            yield from page
            if len(page) < _PAGE:
                return
            last = page[-1].name

    def _query(self, request: Any) -> list[Any]:  # noqa: ANN401 - a RunQueryRequest message
        answers = self._api.run_query(request=types.RunQueryRequest.wrap(request), **self._options())
        messages = (types.RunQueryResponse.pb(answer) for answer in answers)
        return [message.document for message in messages if message.HasField("document")]

    def document_ids(self, collection: str) -> Iterator[str]:
        """Paths of all documents of a collection, those that are there only as the parent of others included."""
        parent, _, collection_id = collection.rpartition("/")
        request = _ListRequest(
            parent=f"{self.root}/{parent}".rstrip("/"), collection_id=collection_id, page_size=_PAGE, show_missing=True
        )
        request.mask.field_paths.append("__name__")
        for document in self._api.list_documents(request=types.ListDocumentsRequest.wrap(request), **self._options()):
            yield self.path_of(document.name)

    def path_of(self, name: str) -> str:
        """The path below the database of a full document name."""
        return name[len(self.root) + 1 :]

    def _options(self) -> dict[str, Any]:
        return {"metadata": self._metadata, "retry": None, "timeout": self._timeout}


def status_of(error: BaseException) -> str:
    """The name of the gRPC status; `UNAUTHENTICATED` where no token could be had, `UNKNOWN` where there is none."""
    if isinstance(error, google.auth.exceptions.TransportError):
        return "UNAVAILABLE"
    if isinstance(error, google.auth.exceptions.GoogleAuthError):
        return "UNAUTHENTICATED"
    code = getattr(error, "grpc_status_code", None)
    if code is None and isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
        code = error.code()
    return "UNKNOWN" if code is None else str(code.name)
