"""Every Python block of the README and the documentation runs as it stands.

A comment before a block says how:

    <!-- not run: REASON -->          it is shown only, and the reason says why it cannot run
    <!-- continues -->                the blocks before it on the page, up to one without this comment, go before it
    <!-- given: clip.mp4 backup/ -->  files and folders that are there when it starts
    <!-- with: /mnt/a=a /mnt/b=b -->  paths that a reader understands, and what stands for them here
    <!-- pytest -->                   it is a test module: pytest runs it, and at least one test must pass
    <!-- SIGTERM once: backup/a -->   it runs until it is told to stop; that is done when it listens for that signal
                                      and the file has appeared
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
HANG_GUARD_SECONDS = 100
_MARKER = re.compile(r"\s*<!--\s*([\w ]+?)\s*(?::\s*(.*?))?\s*-->\s*")
_FENCE = re.compile(r"(\s*)```+\s*\{?([\w-]*)\}?.*")
_MARKERS = {"not run", "continues", "given", "with", "pytest", "SIGTERM once"}


@attrs.frozen
class Block:
    """A Python block of a page."""

    page: str
    line: int
    code: str = attrs.field(repr=False)
    markers: Mapping[str, str]
    before: tuple[Block, ...] = ()

    @property
    def program(self) -> str:
        code = "\n".join(block.code for block in (*self.before, self))
        for pair in self.markers.get("with", "").split():
            shown, _, used = pair.partition("=")
            assert f'"{shown}"' in code, f"{self.page}:{self.line}: {shown} does not occur"
            code = code.replace(f'"{shown}"', f'"{used}"')
        return code

    @property
    def given(self) -> list[str]:
        return [name for block in (*self.before, self) for name in block.markers.get("given", "").split()]


def _blocks(page: str, text: str) -> Iterator[Block]:
    markers: dict[str, str] = {}
    chain: tuple[Block, ...] = ()
    fence: tuple[str, str, int] | None = None
    code: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        opening = _FENCE.fullmatch(line)
        if fence is None and opening:
            fence, code = (opening[1], opening[2], number), []
        elif fence is not None and line.strip().strip("`") == "" and "```" in line:
            if fence[1] == "python":
                block = Block(page, fence[2], textwrap.dedent("\n".join(code)), markers)
                if "continues" in markers:
                    block = attrs.evolve(block, before=chain)
                chain = (*block.before, block)
                yield block
            fence, markers = None, {}
        elif fence is not None:
            code.append(line)
        elif marker := _MARKER.fullmatch(line):
            markers[marker[1]] = marker[2] or ""
        elif line.strip():
            markers = {}


def _pages() -> dict[str, str]:
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


BLOCKS = [block for page, text in _pages().items() for block in _blocks(page, text)]
SHOWN = [block for block in BLOCKS if "not run" in block.markers]
# A block that others continue is run as their beginning.
_BEGINNINGS = {(block.page, block.line) for end in BLOCKS if end not in SHOWN for block in end.before}
RUN = [block for block in BLOCKS if block not in SHOWN and (block.page, block.line) not in _BEGINNINGS]


def _listens_for_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


def _run(block: Block, folder: Path) -> None:
    for name in block.given:
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode() * 1_000)
    program = folder / "test_example.py"
    program.write_text(block.program, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(program)]
    if "pytest" in block.markers:
        command[3:3] = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder)]
    output = folder / "output.txt"
    awaited = block.markers.get("SIGTERM once")
    with output.open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if awaited is not None:
                guard = time.monotonic() + HANG_GUARD_SECONDS
                while process.poll() is None and time.monotonic() < guard:
                    if (folder / awaited).exists() and _listens_for_sigterm(process.pid):
                        break
                    time.sleep(0.05)
                process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=HANG_GUARD_SECONDS)
        finally:
            process.kill()
            process.wait()
    said = output.read_text(encoding="utf-8", errors="replace")
    assert awaited is None or (folder / awaited).exists(), f"{awaited} did not appear\n{said}"
    assert code == 0, f"{block.page}:{block.line} ended with {code}\n{said}"


@pytest.mark.parametrize("block", [pytest.param(block, id=f"{block.page}:{block.line}") for block in RUN])
def test_a_python_block_runs_as_it_stands(block: Block, tmp_path: Path) -> None:
    _run(block, tmp_path)


def test_a_block_is_left_out_only_for_a_reason() -> None:
    assert [f"{block.page}:{block.line}" for block in SHOWN if not block.markers["not run"]] == []


def test_every_other_block_is_run() -> None:
    run = {(part.page, part.line) for block in RUN for part in (*block.before, block)}
    shown = {(block.page, block.line) for block in SHOWN}
    assert run | shown == {(block.page, block.line) for block in BLOCKS}
    assert run & shown == set(), "a block that runs continues one that does not"


def test_every_marker_is_one_that_means_something() -> None:
    unknown = {
        f"{block.page}:{block.line}: {name}" for block in BLOCKS for name in block.markers if name not in _MARKERS
    }
    assert unknown == set()


def test_no_python_hides_behind_another_name() -> None:
    hidden = [
        f"{page}: {line}"
        for page, text in _pages().items()
        for line in text.splitlines()
        if re.match(r"\s*```+\s*(py|pycon|python3|Python|\{code-block\})\b", line)
    ]
    assert hidden == []


PLANTED = """
Text.

```python
first = 1
```

<!-- continues -->
```python
assert first == 1
```

<!-- not run: it needs a NAS -->
```python
connect()
```

<!-- given: in/clip.mp4 out/ -->

```python
import os
assert os.path.isdir("out") and os.path.getsize("in/clip.mp4")
```

- in a list
  ```python
  raise SystemExit("wrong")
  ```

<!-- SIGTERM once: ready -->
<!-- with: /mnt/ready=ready -->
```python
import signal, sys, threading, time
open("/mnt/ready", "w").close()
time.sleep(0.3)  # a signal in between would end it as a failure
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
threading.Event().wait()
```

<!-- pytest -->
```python
def test_that_is_right(): assert True
```

<!-- pytest -->
```python
def test_that_is_wrong(): assert False
```

```text
no Python
```
"""


def test_blocks_are_found_with_their_markers() -> None:
    blocks = list(_blocks("page", PLANTED))
    assert [block.line for block in blocks] == [4, 9, 14, 20, 26, 32, 41, 46]
    assert blocks[1].program == "first = 1\nassert first == 1"
    assert blocks[2].markers == {"not run": "it needs a NAS"}
    assert blocks[3].given == ["in/clip.mp4", "out/"]


@pytest.mark.parametrize("number", [0, 1, 3, 5, 6])
def test_a_right_block_passes(number: int, tmp_path: Path) -> None:
    _run(list(_blocks("page", PLANTED))[number], tmp_path)


@pytest.mark.parametrize("number", [2, 4, 7])
def test_a_wrong_block_fails(number: int, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 1"):
        _run(list(_blocks("page", PLANTED))[number], tmp_path)


def test_a_block_that_never_gets_there_fails(tmp_path: Path) -> None:
    block = Block("page", 1, "print('over already')", {"SIGTERM once": "never"})
    with pytest.raises(AssertionError, match="never did not appear"):
        _run(block, tmp_path)


def test_examples_run_on_this_package(tmp_path: Path) -> None:
    _run(Block("page", 1, f"import media_watch_tasks as m\nassert {os.fspath(ROOT)!r} in m.__file__", {}), tmp_path)
