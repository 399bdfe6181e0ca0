"""What was cut off goes from the reference server when a newer version takes its place, also after a restart."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.uploaders.tus.real_server import TusServer, running

from media_watch_tasks.abc import UploadContext
from media_watch_tasks.errors import TransientError
from media_watch_tasks.model.assets import ResolvedMedia
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.faults import Fault, FaultPlan
from media_watch_tasks.uploaders import TusUploader

pytestmark = pytest.mark.xdist_group("tus")

CHUNK = 1 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TusServer]:
    folder = tmp_path / "tus"
    folder.mkdir()
    with running(folder) as server:
        yield server


class _CutOff(TusUploader):
    """Its source breaks in the middle, each time."""

    def upload(self, media: ResolvedMedia, context: UploadContext) -> UploadReceipt:
        broken = Fault("read", at_byte=media.size // 2, raises=TransientError("the disk does not answer"))
        with FaultPlan([broken]) as plan:
            return super().upload(plan.media(media), context)


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
def test_a_newer_version_removes_the_upload_of_the_older_one(rig: Any, server: TusServer, restarted: bool) -> None:
    older, newer = (random.Random(seed).randbytes(8 * CHUNK) for seed in (1, 2))
    manager = rig.watch(_CutOff(server.url, chunk_size=CHUNK, destination_id="tus"))
    rig.tree.put("clip.mov", older)
    (task,) = rig.run()
    assert (task.state, len(server.uploads()), server.complete()) == ("failed", 1, [])
    (left,) = server.uploads()
    if restarted:
        manager.close()
        rig.watch(TusUploader(server.url, chunk_size=CHUNK, destination_id="tus"))
    rig.tree.change("clip.mov", newer)
    rig.run()
    assert left not in server.uploads(), "nobody will ever go on with it"
    if restarted:
        assert server.complete() == [newer]
