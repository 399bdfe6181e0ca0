"""`run_until_signal` in real processes that get real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.schedulers import IntervalScheduler
from media_watch_tasks.testing.clock import FakeClock

HANG_GUARD = 60.0
PROGRAM = """
import signal, sys, time
from datetime import timedelta
from media_watch_tasks.schedulers import IntervalScheduler

def say(*words):
    print(*words, flush=True)

BODY
"""


@contextmanager
def _program(body: str) -> Iterator[subprocess.Popen[str]]:
    # Programs that a shell starts in the background may be told to ignore SIGINT; these are not.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    source = heard + PROGRAM.replace("BODY", textwrap.dedent(body))
    with subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # A program that hangs is ended, so that reading its lines ends too.
        guard = threading.Timer(HANG_GUARD, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_running_job_end_and_puts_the_handlers_back(number: signal.Signals) -> None:
    with _program(
        """
        before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        def job(cancel):
            say("running")
            cancel.wait()
            say("tidied up:", cancel.reason)
        ended_by = IntervalScheduler(timedelta(hours=1)).run_until_signal(job)
        say("ended by", ended_by, before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)])
        """
    ) as process:
        assert _line(process) == "running"
        process.send_signal(number)
        assert _line(process) == "tidied up: shutdown"
        assert _line(process) == f"ended by {number.value} True"
        assert process.wait(HANG_GUARD) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, None), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_second_signal_is_immediate(number: signal.Signals, code: int | None) -> None:
    with _program(
        """
        def job(cancel):
            say("running")
            cancel.wait()
            say("will not end")
            time.sleep(3600)
        try:
            IntervalScheduler(timedelta(hours=1)).run_until_signal(job)
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(7)
        """
    ) as process:
        assert _line(process) == "running"
        process.send_signal(number)
        assert _line(process) == "will not end"
        process.send_signal(number)
        if code is None:
            assert _line(process) == "interrupted"
            assert process.wait(HANG_GUARD) == 7
        else:
            assert process.wait(HANG_GUARD) == code


def test_a_signal_between_two_runs_ends_the_wait() -> None:
    with _program(
        """
        scheduler = IntervalScheduler(timedelta(hours=1))
        say("ended by", scheduler.run_until_signal(lambda cancel: say("ran")))
        """
    ) as process:
        assert _line(process) == "ran"
        process.send_signal(signal.SIGTERM)
        assert _line(process) == "ended by 15"


def test_an_ignored_signal_stays_ignored() -> None:
    with _program(
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("ended by", IntervalScheduler(timedelta(hours=1)).run_until_signal(lambda cancel: say("ran")))
        """
    ) as process:
        assert _line(process) == "ran"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert _line(process) == "ended by 15"


def test_stop_from_elsewhere_ends_it_without_a_signal() -> None:
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=FakeClock())
    before = signal.getsignal(signal.SIGTERM)
    runs: list[int] = []

    def job(_cancel: CancelToken) -> None:
        runs.append(1)
        if len(runs) == 3:
            scheduler.stop()

    assert scheduler.run_until_signal(job) is None
    assert len(runs) == 3
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_ends_its_thread_ends_the_call() -> None:
    def job(_cancel: CancelToken) -> None:
        raise SystemExit

    assert IntervalScheduler(timedelta(seconds=60)).run_until_signal(job) is None


def test_it_is_refused_outside_of_the_main_thread() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            IntervalScheduler(timedelta(seconds=60)).run_until_signal(lambda _cancel: None)
        except ConfigurationError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(HANG_GUARD)
    assert "main thread" in str(errors[0])


def test_it_is_refused_while_a_job_runs_and_leaves_the_handlers() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with IntervalScheduler(timedelta(seconds=60)) as scheduler:
        scheduler.start(lambda cancel: cancel.wait(HANG_GUARD))
        with pytest.raises(ConfigurationError, match="runs a job already"):
            scheduler.run_until_signal(lambda _cancel: None)
    assert signal.getsignal(signal.SIGTERM) is before


def test_two_signals_at_once_count_as_two() -> None:
    with _program(
        """
        import os
        def job(cancel):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(3600)
        try:
            IntervalScheduler(timedelta(hours=1)).run_until_signal(job)
        except KeyboardInterrupt:
            say("interrupted")
            os._exit(7)
        """
    ) as process:
        # Whichever is told first asks for the end; the other one takes its usual effect, before or after.
        assert process.wait(HANG_GUARD) in {7, -signal.SIGTERM}
