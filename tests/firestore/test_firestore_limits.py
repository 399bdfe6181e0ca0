"""Names and limits: what Firestore refuses is refused here before it is sent, in words, and what it takes is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from google.cloud import firestore
from hypothesis import given
from hypothesis import strategies as st

from media_watch_tasks import PermanentError
from media_watch_tasks.firestore import CatalogMapping, DocumentMapping
from media_watch_tasks.firestore._encoding import set_write
from media_watch_tasks.firestore._google import Database
from media_watch_tasks.firestore.names import asset_document_id, folder_of_id, folder_to_id
from media_watch_tasks.testing.contracts.media_state_store_base import HOSTILE_NAMES


def send(client: firestore.Client, path: str, fields: Mapping[str, Any]) -> bool:
    """Whether the emulator takes a document that the checks here do not see, written by its own client."""
    try:
        client.document(path).set(fields)
    except Exception:  # noqa: BLE001 - the client refuses some by itself, the emulator others
        return False
    return True


def nested(levels: int) -> Mapping[str, Any]:
    fields: dict[str, Any] = {"leaf": 1}
    for _ in range(levels):
        fields = {"level": fields}
    return fields


GOOD: dict[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("files/a", {"a": 1}),
    "id of 1,500 bytes": (f"files/{'i' * 1_500}", {"a": 1}),
    "dots inside": ("files/..a..", {"a": 1}),
    "half reserved": ("files/__a", {"a__": 1}),
    "one underscore pair": ("files/_a_", {"_a_": 1}),
    "unicode": ("files/Ärger 📼", {"Ärger": "📼"}),
    "20 levels": ("files/a", nested(20)),
    "almost 1 MiB": ("files/a", {"blob": b"x" * 1_048_487}),
    "map in list in map": ("files/a", {"m": {"l": [{"n": [1]}]}}),
    "nothing": ("files/a", {}),
    "empty map and list": ("files/a", {"m": {}, "l": []}),
    "largest integers": ("files/a", {"a": 2**63 - 1, "b": -(2**63)}),
}
BAD: dict[str, tuple[str, Mapping[str, Any], str]] = {
    "slash in id": ("files/a/b", {"a": 1}, "segments"),
    "empty id": ("files/", {"a": 1}, "empty segment"),
    "dot": ("files/.", {"a": 1}, "does not allow"),
    "two dots": ("files/..", {"a": 1}, "does not allow"),
    "reserved id": ("files/__x__", {"a": 1}, "reserved"),
    "reserved collection": ("__x__/a", {"a": 1}, "reserved"),
    "id of 1,501 bytes": (f"files/{'i' * 1_501}", {"a": 1}, "1,501"),
    "id of 1,501 bytes in fewer letters": (f"files/{'ä' * 750}x", {"a": 1}, "1,501"),
    "reserved field": ("files/a", {"__x__": 1}, "reserved"),
    "empty field": ("files/a", {"": 1}, "empty"),
    "field name of 1,501 bytes": ("files/a", {"f" * 1_501: 1}, "1,501"),
    "21 levels": ("files/a", nested(21), "deeper than 20"),
    "list in list": ("files/a", {"l": [[1]]}, "list that holds a list"),
    "1 MiB in one field": ("files/a", {"blob": b"x" * 1_048_488}, "1,048,488"),
    "1 MiB in many fields": ("files/a", {f"f{n}": "x" * 100_000 for n in range(11)}, "1,048,576"),
    "integer beyond 64 bits": ("files/a", {"a": 2**63}, "64 bits"),
    "half a surrogate pair": ("files/a", {"a": "\ud800"}, "surrogate"),
    "half a surrogate pair in a key": ("files/a", {"\ud800": 1}, "surrogate"),
    "half a surrogate pair in an id": ("files/\ud800", {"a": 1}, "surrogate"),
    "no value": ("files/a", {"a": object()}, "object"),
    "key that is no text": ("files/a", {"m": {1: 2}}, "keys are texts"),
}  # fmt: skip
# The client has no time zone to ask for and takes such a time for UTC; the emulator counts the size of a document less
# strictly than the documentation of the service.
STRICTER_HERE = {"1 MiB in many fields"}


@pytest.mark.parametrize("name", GOOD)
def test_what_firestore_takes_is_sent_as_it_is(client: firestore.Client, project: str, name: str) -> None:
    path, fields = GOOD[name]
    database = Database(client, timeout=10)
    database.commit([set_write(database.root, path, fields)])
    assert client.document(path).get().to_dict() == fields


@pytest.mark.parametrize("name", BAD)
def test_what_firestore_refuses_is_refused_before_in_words(client: firestore.Client, name: str) -> None:
    path, fields, words = BAD[name]
    with pytest.raises(PermanentError, match=words):
        set_write(Database(client, timeout=10).root, path, fields)
    if name not in STRICTER_HERE:
        assert not send(client, path, fields), "a limit that is none"


def test_a_time_without_a_zone_is_refused(client: firestore.Client) -> None:
    with pytest.raises(PermanentError, match="time zone"):
        set_write("root", "files/a", {"a": datetime(2026, 1, 1)})  # noqa: DTZ001 - what is refused


def test_more_than_a_hundred_collections_are_refused() -> None:
    with pytest.raises(PermanentError, match="100"):
        set_write("root", "/".join(["a"] * 202), {})
    with pytest.raises(PermanentError, match="6144"):
        set_write("root", "/".join(["a" * 400] * 20), {})


@given(st.binary(min_size=1, max_size=40).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_the_id_of_a_folder_is_allowed_and_turns_back(name: bytes) -> None:
    document_id = folder_to_id(name)
    set_write("root", f"catalogs/{document_id}", {})
    assert folder_of_id(document_id) == name


@pytest.mark.parametrize("name", [b".", b"..", b"__x__", b"____", b"a%2Fb", b"100%", *HOSTILE_NAMES])
def test_hostile_folders_and_files_get_documents(client: firestore.Client, name: bytes) -> None:
    assert folder_of_id(folder_to_id(name)) == name
    path = CatalogMapping("{catalog}/{series}").path("nas", b"/".join((name, name, name)))
    assert path is not None
    assert send(client, path, {"a": 1})


def test_ids_of_assets_are_those_of_the_earlier_releases() -> None:
    """They stand in catalogs: a change would write every document a second time."""
    assert asset_document_id("nas", b"a/b.mp4") == "14295b7a7faaa0466b3d937d3f6200902bbb2d5c"
    assert asset_document_id("na", b"sa/b.mp4") != asset_document_id("nas", b"a/b.mp4")
    assert DocumentMapping().path("nas", b"a/b.mp4") == "files/14295b7a7faaa0466b3d937d3f6200902bbb2d5c"
