"""Progress by stage, with a rate and the time that is left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.uploaders.fault_server import FaultServer
from tests.uploaders.tus.fault_server import TusFaultServer

from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.manager.flight import Flight
from media_watch_tasks.manager.pace import Pace
from media_watch_tasks.model.events import TaskProgress
from media_watch_tasks.model.uploads import Stage, UploadProgress
from media_watch_tasks.uploaders import BandwidthLimit, HttpUploader, TusUploader


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    rates = [pace.rate(Stage.TRANSFER, second * 1_000, second * NANOSECONDS) for second in range(20)]
    assert rates[0] is None
    assert set(rates[1:]) == {1_000.0}
    faster = [
        pace.rate(Stage.TRANSFER, 19_000 + second * 5_000, (19 + second) * NANOSECONDS) for second in range(1, 15)
    ]
    assert faster[-1] == 5_000.0
    assert pace.rate(Stage.TRANSFER, 89_000, 43 * NANOSECONDS) == pytest.approx(0, abs=2_600), "a pause counts"


def test_another_stage_and_a_new_beginning_have_a_rate_of_their_own() -> None:
    pace = Pace()
    pace.rate(Stage.HASH, 0, 0)
    assert pace.rate(Stage.HASH, 9_000, NANOSECONDS) == 9_000.0
    assert pace.rate(Stage.TRANSFER, 0, 2 * NANOSECONDS) is None
    assert pace.rate(Stage.TRANSFER, 500, 3 * NANOSECONDS) == 500.0
    assert pace.rate(Stage.TRANSFER, 100, 4 * NANOSECONDS) is None


@pytest.mark.parametrize(
    ("progress", "left"),
    [
        (UploadProgress(Stage.TRANSFER, 250, 1_000, rate=50.0), timedelta(seconds=15)),
        (UploadProgress(Stage.TRANSFER, 1_000, 1_000, rate=50.0), timedelta(0)),
        (UploadProgress(Stage.TRANSFER, 250, None, rate=50.0), None),
        (UploadProgress(Stage.TRANSFER, 250, 1_000), None),
        (UploadProgress(Stage.TRANSFER, 250, 1_000, rate=0.0), None),
    ],
)
def test_the_time_that_is_left_follows_from_the_rate(progress: UploadProgress, left: timedelta | None) -> None:
    assert progress.eta == left


def test_an_upload_has_stages_a_rate_and_a_time_left(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[UploadProgress] = []
    heard: list[UploadProgress] = []
    right = Flight.on_progress

    def on_progress(self: Flight, *moved: Any) -> bool:
        told = right(self, *moved)
        assert self.progress is not None
        noted.append(self.progress)
        return told

    def listen(event: object) -> None:
        if isinstance(event, TaskProgress):
            heard.append(event.progress)

    # Listeners that are slower than an upload hear of its latest progress only, so it is looked at where it is noted.
    monkeypatch.setattr(Flight, "on_progress", on_progress)
    with FaultServer() as server:
        uploader = HttpUploader(server.url + "/{path}", digest="always")
        manager = rig.watch(rig.stack.enter_context(BandwidthLimit(uploader, 1_000_000, clock=rig.clock)))
        manager.subscribe(listen)
        rig.tree.put("clip.mov", bytes(8_000_000))
        rig.run()
    assert list(dict.fromkeys(progress.stage for progress in noted)) == [Stage.HASH, Stage.TRANSFER, Stage.FINALISE]
    paced = [progress for progress in noted if progress.stage is Stage.TRANSFER and progress.rate]
    assert len(paced) > 10
    assert all(900_000 <= progress.rate <= 1_600_000 for progress in paced if progress.rate is not None)
    assert all(progress.eta is not None and progress.eta <= timedelta(seconds=8) for progress in paced)
    assert {progress.stage for progress in heard} <= {Stage.HASH, Stage.TRANSFER, Stage.FINALISE}
    assert heard


def test_tus_tells_its_stages(rig: Any) -> None:
    with TusFaultServer() as server, TusUploader(server.files) as uploader:
        media = rig.media("clip.mov", b"footage")
        context = rig.context(media)
        uploader.upload(media, context)
        stages = list(dict.fromkeys(progress.stage for progress in context.progress_calls))
        assert stages == [Stage.INITIALISE, Stage.TRANSFER, Stage.FINALISE]
