"""A file may kill, freeze or bloat its worker: that costs an error value for this file, and nothing else."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.probe.media_files import encode

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import AssetChanged, OperationCancelled
from media_watch_tasks.local import LocalByteSource
from media_watch_tasks.model.metadata import MediaMetadata
from media_watch_tasks.probe import AvProber, BytesSource
from media_watch_tasks.probe.isolation import InWorkers
from media_watch_tasks.probe.wire import WireError, pack_pieces, unpack_pieces
from media_watch_tasks.probe.worker_process import WorkerProcess

HANG_GUARD = 60.0
TIMEOUT = 2.0
"""Far more than a busy machine takes for a short file, and what those have to wait for that meet it."""


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    """A file that no single round trip describes."""
    return encode(tmp_path / "a.ts", video="libx264", seconds=8, size=(320, 240)).read_bytes() * 20


@pytest.fixture
def own() -> Iterator[AvProber]:
    with AvProber(workers=1, timeout=HANG_GUARD) as prober:
        yield prober


def _pool(prober: AvProber) -> InWorkers:
    assert isinstance(prober._way, InWorkers)
    return prober._way


def _busy_worker(prober: AvProber) -> WorkerProcess:
    (worker,) = _pool(prober).pool._busy
    return worker


class Acts(BytesSource):
    """Does something to the worker while that waits for its second reading."""

    def __init__(self, data: bytes, act: Callable[[], object]) -> None:
        super().__init__(data)
        self._act = act
        self.calls = 0

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        self.calls += 1
        if self.calls == 2:
            self._act()
        return super().read_many(ranges)


@pytest.mark.parametrize("death", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_worker_that_dies_costs_one_error_value(
    own: AvProber, stream: bytes, clip: Path, death: signal.Signals
) -> None:
    source = Acts(stream, lambda: os.kill(_busy_worker(own).pid, death))
    found = own.probe(source, name="a.ts")
    assert source.calls == 2, "the fault was injected"
    assert found.error == f"its parser was ended by signal {death.value}"
    assert not found.transient
    assert own.probe(clip).error is None, "the next file gets a fresh worker"
    assert _pool(own).pool.started == 2


def test_a_file_that_killed_a_worker_is_not_tried_again(own: AvProber, stream: bytes, clip: Path) -> None:
    own.probe(Acts(stream, lambda: os.kill(_busy_worker(own).pid, signal.SIGSEGV)), name="a.ts")
    started = _pool(own).pool.started
    again = own.probe(BytesSource(stream), name="other name.ts")
    assert again.error == "not probed again: its parser was ended by signal 11"
    assert _pool(own).pool.started == started, "no worker was risked"
    assert own.probe(BytesSource(stream + b"more"), name="a.ts").error is None, "another version is another file"
    assert own.probe(clip).error is None


def test_a_file_in_quarantine_is_known_by_its_path_too(own: AvProber, stream: bytes, tmp_path: Path) -> None:
    own.probe(Acts(stream, lambda: os.kill(_busy_worker(own).pid, signal.SIGSEGV)), name="a.ts")
    path = tmp_path / "same.ts"
    path.write_bytes(stream)
    assert (own.probe(path).error or "").startswith("not probed again")


def test_a_worker_that_hangs_is_killed_at_its_time_limit(stream: bytes, clip: Path) -> None:
    with AvProber(workers=1, timeout=TIMEOUT) as prober:
        assert prober.probe(clip).error is None
        frozen: list[int] = []

        def freeze() -> None:
            frozen.append(_busy_worker(prober).pid)
            os.kill(frozen[0], signal.SIGSTOP)

        found = prober.probe(Acts(stream, freeze), name="a.ts")
        assert frozen, "the fault was injected"
        assert found.error == f"it took longer than {TIMEOUT:g} s"
        with pytest.raises(ProcessLookupError):
            os.kill(frozen[0], 0)
        assert prober.probe(clip).error is None


def test_time_in_which_a_slow_source_reads_does_not_count(stream: bytes, clip: Path) -> None:
    with AvProber(workers=1, timeout=TIMEOUT) as prober:
        assert prober.probe(clip).error is None
        slow = Acts(stream, lambda: threading.Event().wait(1.5 * TIMEOUT))
        assert prober.probe(slow, name="a.ts").error is None


def test_memory_is_limited(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.aiff", video=None, audio="pcm_s16be").read_bytes()
    body = b"\0image/png\0\3\0" + b"\x89PNG\r\n\x1a\n" + bytes(15 << 20)
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\3\0\0" + size + frame
    tag += bytes(len(tag) % 2)
    chunk = b"ID3 " + struct.pack(">I", len(tag)) + tag
    greedy = b"FORM" + struct.pack(">I", len(data) - 8 + len(chunk)) + data[8:12] + chunk + data[12:]
    program = """
        from media_watch_tasks.probe.sandbox import lock_down
        lock_down(memory=64 << 20)
        kept = bytearray(32 << 20)
        try:
            bytearray(128 << 20)
        except MemoryError:
            print("refused")
    """
    assert _python(program).stdout.split() == ["refused"]
    with AvProber(workers=1, memory_limit=8 << 20) as tight:
        found = tight.probe_bytes(greedy, name="a.aiff")
        assert found.error is not None or not found.has_cover, "FFmpeg was refused the memory for the picture"
        assert tight.probe_bytes(data, name="a.aiff").error is None, "the worker still answers"
    with AvProber(workers=1) as usual:
        assert usual.probe_bytes(greedy, name="a.aiff").has_cover


def test_a_worker_can_open_neither_files_nor_sockets() -> None:
    program = """
        import socket
        from media_watch_tasks.probe.sandbox import lock_down
        lock_down(memory=1 << 28)
        file = open("/etc/hostname")  # the place of the one file that the prober sends
        for attempt in (lambda: open("/etc/hostname"), lambda: socket.socket(), lambda: socket.socketpair()):
            try:
                attempt()
            except OSError as error:
                assert error.errno == 24, error
                print("refused")
    """
    done = _python(program)
    assert done.stdout.split() == ["refused"] * 3, done.stderr


def _python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, check=False, timeout=HANG_GUARD, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_the_calling_process_never_loads_ffmpeg_and_its_script_needs_no_guard(clip: Path) -> None:
    program = """
        import sys
        from media_watch_tasks.probe import AvProber
        with AvProber(workers=1) as prober:
            print(prober.probe(sys.argv[1]).video[0].codec, "av" in sys.modules, "PIL" in sys.modules)
    """
    done = _python(program, str(clip))
    assert done.stdout.split() == ["h264", "False", "False"], done.stderr
    assert done.stderr == ""


def test_a_worker_ends_when_its_prober_is_killed(clip: Path) -> None:
    program = """
        import os, signal, sys
        from media_watch_tasks.probe import AvProber
        prober = AvProber(workers=1)
        prober.probe(sys.argv[1])
        (worker,) = prober._way.pool._idle
        print(worker.pid, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(clip)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        worker = os.pidfd_open(int(parent.stdout.readline()))
        try:
            parent.kill()
            ready, _, _ = select.select([worker], [], [], HANG_GUARD)
            assert ready, "the worker is still there"
        finally:
            os.close(worker)


def test_close_ends_idle_and_busy_workers(stream: bytes) -> None:
    prober = AvProber(workers=2, timeout=HANG_GUARD)
    pids: list[int] = []

    def close() -> None:
        pids.append(_busy_worker(prober).pid)
        prober.close()

    found = prober.probe(Acts(stream, close), name="a.ts")
    assert found.error == "the prober was closed"
    assert found.transient
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert prober.probe(BytesSource(stream), name="a.ts").error is not None
    prober.close()


def test_cancelling_ends_a_worker_that_hangs(own: AvProber, stream: bytes) -> None:
    cancel = CancelToken()

    def freeze_then_cancel() -> None:
        os.kill(_busy_worker(own).pid, signal.SIGSTOP)
        threading.Timer(0.1, cancel.cancel).start()

    with pytest.raises(OperationCancelled):
        own.probe(Acts(stream, freeze_then_cancel), name="a.ts", cancel=cancel)
    assert own.probe(BytesSource(stream), name="a.ts").error is None, "a cancelled file is not in quarantine"


def test_workers_are_replaced_after_so_many_files(clip: Path) -> None:
    with AvProber(workers=1, recycle_after=3) as prober:
        assert all(prober.probe(clip).error is None for _ in range(7))
        assert _pool(prober).pool.started == 3


def test_threads_share_the_workers(clip: Path) -> None:
    with AvProber(workers=2) as prober:
        found = list(prober.probe_many([clip] * 40, workers=8))
        assert all(each == found[0] for each in found)
        assert found[0].error is None
        assert _pool(prober).pool.started <= 2


def test_no_descriptor_stays_open(clip: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with AvProber(workers=2, recycle_after=2) as prober:
        list(prober.probe_many([clip] * 10, workers=2))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_worker_that_cannot_start_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with AvProber(workers=1) as prober:
        found = prober.probe(clip)
    assert found.transient
    assert "no process can be started" in (found.error or "")


def test_a_worker_that_fails_at_its_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 3\n", encoding="ascii")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with AvProber(workers=1) as prober:
        found = prober.probe(clip)
    assert found.transient
    assert found.error == "a probe worker does not start: no such library"


@pytest.mark.parametrize(
    "answer", [None, [], "text", {"duration": [1], "video": 5}, {"video": [{"codec": 1}], "gps": 3}]
)
def test_an_answer_that_makes_no_sense_is_an_error_value(answer: object) -> None:
    from media_watch_tasks.probe.isolation import _metadata  # noqa: PLC0415 - behind the curtain

    assert isinstance(_metadata(answer), MediaMetadata)
    assert _metadata(answer).error is not None


@pytest.mark.parametrize("request_", [None, {}, [], [[1]], [[1, 2, 3]], [["a", 1]], [[True, 1]], [[0, 1]] * 5_000])
def test_a_read_request_that_makes_no_sense_is_refused(request_: object) -> None:
    from media_watch_tasks.probe.worker_process import _ranges  # noqa: PLC0415 - behind the curtain

    with pytest.raises(WireError):
        _ranges(request_)


def test_pieces_survive_the_wire() -> None:
    pieces = [b"", b"a", bytes(70_000)]
    assert unpack_pieces(pack_pieces(pieces)) == pieces


def test_an_open_file_is_read_by_the_worker_itself(own: AvProber, clip: Path) -> None:
    class Watched(LocalByteSource):
        asked = 0

        def read_at(self, offset: int, length: int) -> bytes:
            self.asked += 1
            return super().read_at(offset, length)

    with Watched(clip) as source:
        assert own.probe(source, name="clip.mp4").bytes_read == clip.stat().st_size
        assert source.asked == 1, "only whether it is the same file still"


def test_a_file_that_is_cut_off_under_a_worker_has_changed(own: AvProber, stream: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(stream)
    with LocalByteSource(path) as source:
        os.truncate(path, len(stream) // 2)
        with pytest.raises(AssetChanged, match="cut off meanwhile"):
            own.probe(source, name="a.ts")
