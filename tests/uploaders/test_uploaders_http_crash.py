"""A process that is killed in the middle of a PUT, or after it: the next one delivers the file once, and whole."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest
from tests.uploaders.fault_server import FaultServer, Trouble
from tests.uploaders.killed import HANG_GUARD, finish, start

DATA = random.Random(5).randbytes(8 << 20)


@pytest.mark.parametrize(
    ("after", "stores", "puts"),
    [(3 << 20, False, 2), (None, True, 1)],
    ids=["in the middle", "when everything had arrived"],
)
def test_a_killed_upload_ends_in_one_whole_object(tmp_path: Path, after: int | None, stores: bool, puts: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "clip.mov").write_bytes(DATA)
    process: list[subprocess.Popen[str]] = []

    def kill() -> None:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait(HANG_GUARD)

    with FaultServer([Trouble(after=after, calls=kill, reset=True, stores=stores)]) as server:
        url = server.url + "/{path}"
        process.append(start(source, url, kind="http"))
        with process[0]:
            assert process[0].wait(HANG_GUARD) == -signal.SIGKILL
        assert finish(source, url, kind="http").split()[0] == "success"
        assert [body == DATA for body in server.bodies] == [True]
        assert len(server.requests("PUT")) == puts, "what had arrived is found by its hash, and not sent again"
