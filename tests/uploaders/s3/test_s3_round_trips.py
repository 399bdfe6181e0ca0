"""How many requests a file takes at S3, and at a service with presigned URLs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from tests.uploaders.s3.presigned_service import Service

from media_watch_tasks.errors import AlreadyExists
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.testing.fakes import FakeContext, FakeResolver, FakeTree
from media_watch_tasks.testing.s3 import StrictS3
from media_watch_tasks.uploaders import S3Uploader

MIB = 1 << 20
MakeClient = Callable[..., Any]


def media_of(tree: FakeTree, data: bytes, path: str = "clip.mov") -> ResolvedMedia:
    return FakeResolver(tree).resolve_for_upload(tree.put(path, data), cancel=FakeContext().cancel)


def upload(uploader: S3Uploader, media: ResolvedMedia, **context: Any) -> Any:
    return uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id, **context))


@pytest.mark.parametrize("size", [0, 1, 200_000, 3 * MIB])
def test_a_file_below_the_threshold_is_one_request(s3: StrictS3, client_for: MakeClient, size: int) -> None:
    tree = FakeTree("s3:source")
    with S3Uploader("media", client=client_for(s3)) as uploader:
        for number in range(3):
            upload(uploader, media_of(tree, b"x" * size, f"{number}.mov"))
    assert [request.operation for request in s3.requests] == ["PutObject"] * 3
    assert s3.connections == 1


@pytest.mark.parametrize("size", [200_000, 3 * MIB])
def test_a_newer_version_takes_a_look_before_it(s3: StrictS3, client_for: MakeClient, size: int) -> None:
    tree = FakeTree("s3:source")
    with S3Uploader("media", client=client_for(s3)) as uploader:
        earlier = upload(uploader, media_of(tree, b"x" * size))
        upload(uploader, media_of(tree, b"y" * size), previous=earlier)
    assert s3.objects["clip.mov"].data == b"y" * size
    assert [request.operation for request in s3.requests] == ["PutObject", "HeadObject", "PutObject"]
    assert s3.requests[2].headers["if-match"] == f'"{earlier.etag}"'


@pytest.mark.parametrize("stranger", [b"of somebody else", None], ids=["replaced", "removed"])
def test_an_earlier_version_that_is_no_longer_there_is_looked_for(
    s3: StrictS3, client_for: MakeClient, stranger: bytes | None
) -> None:
    tree = FakeTree("s3:source")
    with S3Uploader("media", client=client_for(s3)) as uploader:
        earlier = upload(uploader, media_of(tree, b"first"))
        newest = b"third"
        if stranger is None:
            del s3.shelf.objects["clip.mov"]
        else:
            upload(uploader, media_of(tree, b"second"), previous=earlier)
        upload(uploader, media_of(tree, newest), previous=earlier)
    assert s3.objects["clip.mov"].data == newest
    assert [request.operation for request in s3.requests][-2:] == ["HeadObject", "PutObject"]


def test_a_file_in_parts_takes_a_look_a_beginning_an_end_and_its_parts(s3: StrictS3, client_for: MakeClient) -> None:
    tree = FakeTree("s3:source")
    how: dict[str, Any] = {"part_size": 5 * MIB, "multipart_threshold": 8 * MIB, "concurrency": 1}
    with S3Uploader("media", client=client_for(s3), **how) as uploader:
        upload(uploader, media_of(tree, b"x" * (11 * MIB)))
    assert [request.operation for request in s3.requests] == [
        "HeadObject", "CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload",
    ]  # fmt: skip


def test_an_object_that_another_asset_counts_on_is_looked_at_before_it_is_replaced(
    s3: StrictS3, client_for: MakeClient
) -> None:
    tree = FakeTree("s3:source")
    with S3Uploader("media", "{name}", client=client_for(s3)) as uploader:
        theirs = upload(uploader, media_of(tree, b"first", "a/clip.mov"))
        # The receipt of a file whose bytes stood there already.
        previous = attrs.evolve(theirs, deduplicated=True)
        with pytest.raises(AlreadyExists):
            upload(uploader, media_of(tree, b"second", "b/clip.mov"), previous=previous)
    assert s3.objects["clip.mov"].data == b"first"


def test_equal_bytes_of_another_asset_are_not_taken_for_the_earlier_version(
    s3: StrictS3, client_for: MakeClient
) -> None:
    tree = FakeTree("s3:source")
    with S3Uploader("media", "{name}", client=client_for(s3)) as uploader:
        earlier = upload(uploader, media_of(tree, b"first", "a/clip.mov"))
        del s3.shelf.objects["clip.mov"]
        theirs = upload(uploader, media_of(tree, b"first", "b/clip.mov"))
        assert theirs.etag == earlier.etag
        with pytest.raises(AlreadyExists):
            upload(uploader, media_of(tree, b"second", "a/clip.mov"), previous=earlier)
    assert s3.objects["clip.mov"].data == b"first"


def test_a_presigned_file_takes_its_four_steps(serve: Callable[..., Service]) -> None:
    service = serve()
    steps: list[str] = []
    inner = service.app.front.app

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        steps.append(f"{scope['method']} {scope['path'].rsplit('/', 1)[-1]}"[:8])
        await inner(scope, receive, send)

    service.app.front.app = counted
    tree = FakeTree("presigned:source")
    with service.uploader() as uploader:
        media = media_of(tree, b"footage")
        uploader.upload(media, FakeContext.for_media(media, destination_id=uploader.destination_id))
    assert steps[:2] == ["POST ini", "POST com"]
    assert {step.split()[0] for step in steps[2:]} == {"GET"}, "looks at the status, as long as it is processed"
    assert service.s3.count("PutObject") == 1
