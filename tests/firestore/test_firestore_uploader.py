"""FirestoreUploader under a TaskManager, behind another uploader, and where things go wrong."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import firestore

from media_watch_tasks import (
    AuthenticationRequiredError,
    ConfigurationError,
    LocalMediaResolver,
    LocalMediaScanner,
    SqliteStores,
    TaskManager,
    TaskManagerOptions,
    TaskState,
    TransientError,
    Uploader,
)
from media_watch_tasks.abc import BatchItem
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import LeaseLost
from media_watch_tasks.firestore import DocumentMapping, FirestoreUploader
from media_watch_tasks.testing.clock import FakeClock
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree, FakeUploader
from media_watch_tasks.uploaders import DirectoryUploader, Then

GrpcProxy = Any


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


def manager_of(stores: SqliteStores, folder: Path, uploader: Uploader) -> TaskManager:
    return TaskManager(
        media_scanner=LocalMediaScanner(folder, source_id="archive"),
        media_resolver=LocalMediaResolver(folder, source_id="archive"),
        media_state_store=stores.media_state,
        task_store=stores.tasks,
        uploader=uploader,
        options=TaskManagerOptions(settle_for=timedelta(0)),
    )


def items_of(uploader: Uploader, count: int, **settings: Any) -> list[BatchItem]:
    tree = FakeTree("nas")
    resolver = FakeResolver(tree)
    made = []
    for number in range(count):
        media = resolver.resolve_for_upload(tree.put(f"{number}.mp4", b"x" * (number + 1)), cancel=CancelToken())
        made.append(BatchItem(media, FakeContext.for_media(media, destination_id=uploader.destination_id, **settings)))
    return made


def test_a_manager_delivers_in_batches_and_writes_each_document_once(
    client_at: Any, client: firestore.Client, grpc_proxy: GrpcProxy, stores: SqliteStores, folder: Path
) -> None:
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None)
    with manager_of(stores, folder, uploader) as manager:
        manager.initialize_baseline()
        for number in range(60):
            (folder / f"{number}.mp4").write_bytes(b"x" * (number + 1))
        manager.run_once()
        assert manager.counts()[TaskState.SUCCESS] == 60
        commits = len(grpc_proxy.commits)
        assert commits < 60
        manager.run_once()
        assert len(grpc_proxy.commits) == commits
        found = {each.get("path"): each.to_dict() for each in client.collection("files").stream()}
        assert set(found) == {f"{number}.mp4" for number in range(60)}
        task, *_ = manager.tasks(states=[TaskState.SUCCESS])
        assert found[task.display]["key"] == task.key
        assert task.receipt is not None
        assert client.document(task.receipt.remote_id).get().get("path") == task.display
        (folder / "5.mp4").write_bytes(b"another version")
        manager.run_once()
        assert len(list(client.collection("files").stream())) == 60
        assert manager.verify(sample=60).good == 60


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED"])
def test_trouble_of_the_destination_pauses_it_and_costs_no_attempt(
    *, client_at: Any, grpc_proxy: GrpcProxy, stores: SqliteStores, folder: Path, faults: Any, status: str
) -> None:
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=FakeClock())
    with manager_of(stores, folder, uploader) as manager:
        manager.initialize_baseline()
        for number in range(20):
            (folder / f"{number}.mp4").write_bytes(b"x" * (number + 1))
        grpc_proxy.faults = faults(status, share=1)
        manager.run_once()
        tasks = manager.tasks()
        assert len(tasks) == 20
        assert {(task.state, task.attempts) for task in tasks} == {(TaskState.PENDING, 0)}
        assert stores.tasks.pauses()


def test_an_answer_that_was_lost_is_found_and_nothing_is_written_twice(
    *, client_at: Any, client: firestore.Client, grpc_proxy: GrpcProxy, stores: SqliteStores, folder: Path, faults: Any
) -> None:
    uploader = FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=FakeClock())
    with manager_of(stores, folder, uploader) as manager:
        manager.initialize_baseline()
        for number in range(5):
            (folder / f"{number}.mp4").write_bytes(b"x" * (number + 1))
        grpc_proxy.faults = faults("lost INTERNAL", share=1)
        manager.run_once()
        assert manager.counts()[TaskState.FAILED] == 5
        before = {each.id: each.update_time for each in client.collection("files").stream()}
        commits = len(grpc_proxy.commits)
        grpc_proxy.faults = faults()
        manager.process(force=True)
        assert manager.counts()[TaskState.SUCCESS] == 5
        assert len(grpc_proxy.commits) == commits
        assert {each.id: each.update_time for each in client.collection("files").stream()} == before


def test_a_refused_document_fails_alone(client: firestore.Client) -> None:
    class Poisoned(DocumentMapping):
        def fields(self, entry: Any) -> Any:
            fields = dict(super().fields(entry))
            return {**fields, "blob": b"x" * 1_200_000} if entry.asset.name == b"7.mp4" else fields

    uploader = FirestoreUploader(client, mapping=Poisoned(), ramp=None)
    items = items_of(uploader, 500)
    outcomes = {each.key: each for each in uploader.upload_batch(items, cancel=CancelToken())}
    assert len(outcomes) == 500
    failed = [each for each in outcomes.values() if each.error is not None]
    assert [each.key for each in failed] == [items[7].context.key]
    assert "7.mp4" not in {each.get("path") for each in client.collection("files").stream()}
    ((total,),) = client.collection("files").count().get()
    assert total.value == 499


def test_items_whose_lease_is_lost_are_left_out_and_the_others_delivered(client: firestore.Client) -> None:
    uploader = FirestoreUploader(client, ramp=None)
    items = items_of(uploader, 10)
    for item in items[:3]:
        item.context.lose_lease = True  # type: ignore[attr-defined]  # of FakeContext
    outcomes = {each.key: each.error for each in uploader.upload_batch(items, cancel=CancelToken())}
    assert [type(outcomes[item.context.key]) for item in items] == [LeaseLost] * 3 + [type(None)] * 7
    ((total,),) = client.collection("files").count().get()
    assert total.value == 7


def test_bytes_are_not_read_unless_their_hash_is_asked_for(client: firestore.Client) -> None:
    for hash_content in (False, True):
        uploader = FirestoreUploader(client, hash_content=hash_content, ramp=None)
        (item,) = items_of(uploader, 1)
        receipt = uploader.upload(item.media, item.context)
        assert (item.context.bytes_read > 0) == hash_content  # type: ignore[attr-defined]  # of FakeContext
        stored = client.document(receipt.remote_id).get().get("sha256")
        assert (stored is not None) == hash_content
        assert stored == receipt.sha256


class _Nowhere(DocumentMapping):
    def path(self, source_id: str, asset_id: bytes) -> str | None:
        return None


def test_an_asset_without_a_place_in_the_mapping_is_no_failure(client: firestore.Client) -> None:
    uploader = FirestoreUploader(client, mapping=_Nowhere(), ramp=None)
    (item,) = items_of(uploader, 1)
    assert uploader.upload(item.media, item.context).remote_id is None
    assert uploader.find_existing(item.media, item.context) is None


def test_the_receipt_of_the_uploader_before_is_in_the_document(client: firestore.Client) -> None:
    first = FakeUploader("store")
    uploader = FirestoreUploader(client, ramp=None)
    with Then(first, uploader) as both:
        (item,) = items_of(both, 1)
        receipt = both.upload(item.media, item.context)
    stored = client.document(receipt.remote_id).get()
    assert stored.get("receipt") == {
        "remote_id": receipt.details["first"], "size": 1, "verified": True, "deduplicated": False,
        "sha256": hashlib.sha256(b"x").hexdigest(),
    }  # fmt: skip
    assert stored.get("sha256") == hashlib.sha256(b"x").hexdigest()
    assert stored.get("key") == item.context.key


def test_a_receipt_of_an_earlier_document_is_not_taken_for_that_of_the_bytes(client: firestore.Client) -> None:
    uploader = FirestoreUploader(client, ramp=None)
    (item,) = items_of(uploader, 1)
    earlier = uploader.upload(item.media, item.context)
    for mapping in (DocumentMapping(), _Nowhere()):
        again = FirestoreUploader(client, mapping=mapping, ramp=None)
        context = FakeContext.for_media(item.media, destination_id=again.destination_id, previous=earlier)
        earlier = again.upload(item.media, context)
    back = FakeContext.for_media(item.media, destination_id=uploader.destination_id, previous=earlier)
    path = uploader.upload(item.media, back).remote_id
    assert "receipt" not in client.document(path).get().to_dict()


def test_bytes_that_are_delivered_are_not_sent_again_for_their_document(
    client_at: Any, grpc_proxy: GrpcProxy, faults: Any
) -> None:
    first = FakeUploader("store")
    uploader = Then(first, FirestoreUploader(client_at(grpc_proxy.port), ramp=None, clock=FakeClock()))
    (item,) = items_of(uploader, 1)
    grpc_proxy.faults = faults("INTERNAL", share=1)
    with pytest.raises(TransientError):
        uploader.upload(item.media, item.context)
    assert grpc_proxy.faults.fired.total() == 6
    grpc_proxy.faults = faults()
    state = item.context.resume_state
    context = FakeContext.for_media(item.media, destination_id=uploader.destination_id, attempt=2, resume_state=state)
    assert uploader.find_existing(item.media, context) is None
    uploader.upload(item.media, context)
    assert len(first.calls) == 1


def test_bytes_and_documents_stay_together_under_a_manager(
    client: firestore.Client, stores: SqliteStores, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bytes").mkdir()
    uploader = Then(DirectoryUploader(tmp_path / "bytes"), FirestoreUploader(client, ramp=None))
    with manager_of(stores, folder, uploader) as manager:
        manager.initialize_baseline()
        for number in range(30):
            (folder / f"{number}.mp4").write_bytes(b"x" * (number + 1))
        manager.run_once()
        assert manager.counts()[TaskState.SUCCESS] == 30
        for each in client.collection("files").stream():
            delivered = tmp_path / "bytes" / each.get("receipt")["remote_id"]
            assert delivered.stat().st_size == each.get("size")
            assert each.get("sha256") == each.get("receipt")["sha256"]
        assert manager.verify(sample=30).good == 30
        (tmp_path / "bytes" / "5.mp4").unlink()
        assert manager.verify(sample=30).good == 29


def test_check_reaches_the_database_and_names_what_is_wrong(
    client_at: Any, client: firestore.Client, grpc_proxy: GrpcProxy, faults: Any
) -> None:
    uploader = FirestoreUploader(client_at(grpc_proxy.port))
    uploader.check()
    assert not list(client.collections())
    grpc_proxy.faults = faults("PERMISSION_DENIED", share=1)
    with pytest.raises(AuthenticationRequiredError, match=r"roles/datastore\.user"):
        uploader.check()


def test_a_client_of_its_own_is_closed_and_one_given_stays_open(
    monkeypatch: pytest.MonkeyPatch, emulator_port: int, project: str, client: firestore.Client
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{emulator_port}")
    own = FirestoreUploader(project=project)
    closed: list[bool] = []
    monkeypatch.setattr(firestore.Client, "close", lambda _client: closed.append(True))
    own.check()
    own.close()
    assert closed == [True]
    FirestoreUploader(client).close()
    assert closed == [True]


def service_account(path: Path, project: str) -> str:
    """A file as the console gives it, with a key that nobody knows."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "1",
        "private_key": secret,
        "client_email": "archive@example.iam.gserviceaccount.com",
        "token_uri": "https://example.invalid/token",
    }
    path.write_text(json.dumps(account), encoding="utf-8")
    return secret.splitlines()[1]


def test_a_service_account_file_names_the_project_and_leaves_no_trace(
    *,
    monkeypatch: pytest.MonkeyPatch,
    emulator_port: int,
    project: str,
    client: firestore.Client,
    stores: SqliteStores,
    folder: Path,
    tmp_path: Path,
) -> None:
    secret = service_account(tmp_path / "account.json", project)
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{emulator_port}")
    uploader = FirestoreUploader(credentials_file=str(tmp_path / "account.json"), ramp=None)
    with manager_of(stores, folder, uploader) as manager:
        manager.initialize_baseline()
        (folder / "a.mp4").write_bytes(b"x")
        manager.run_once()
        assert manager.counts()[TaskState.SUCCESS] == 1
    assert len(list(client.collection("files").stream())) == 1
    stores.backup(tmp_path / "backup.db")
    assert secret.encode() not in (tmp_path / "backup.db").read_bytes()


def test_without_a_client_the_application_default_credentials_are_taken(
    monkeypatch: pytest.MonkeyPatch, no_credentials: None, tmp_path: Path
) -> None:
    del no_credentials
    service_account(tmp_path / "account.json", "of-the-environment")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    with FirestoreUploader() as uploader:
        assert uploader.destination_id == "firestore:projects/of-the-environment/databases/(default):files"


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FIRESTORE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.usefixtures("no_credentials")
def test_missing_credentials_are_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationRequiredError, match="gcloud auth application-default login") as caught:
        FirestoreUploader(project="p")
    assert caught.value.party == "destination"
    with pytest.raises(ConfigurationError, match=r"nowhere\.json"):
        FirestoreUploader(credentials_file=str(tmp_path / "nowhere.json"))
    secret = tmp_path / "broken.json"
    secret.write_text('{"private_key": "do-not-show"')
    with pytest.raises(ConfigurationError, match=r"broken\.json") as refused:
        FirestoreUploader(credentials_file=str(secret))
    assert "do-not-show" not in str(refused.value)


@pytest.mark.parametrize("size", [0, 501])
def test_a_senseless_batch_size_is_refused(client: firestore.Client, size: int) -> None:
    with pytest.raises(ConfigurationError, match="batch_size"):
        FirestoreUploader(client, batch_size=size)


def test_a_senseless_timeout_is_refused(client: firestore.Client) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        FirestoreUploader(client, timeout=timedelta(0))
