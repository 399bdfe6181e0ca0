"""Parts that stand in for the real ones in tests: a source in memory, uploaders that record, a context, a prober.

tree = FakeTree()
tree.put("2026/clip.mov", b"footage")
manager = TaskManager(media_scanner=FakeScanner(tree), media_resolver=FakeResolver(tree), uploader=FakeUploader(), …)
"""

from media_watch_tasks.testing.fakes.context import FakeContext
from media_watch_tasks.testing.fakes.prober import FakeProber
from media_watch_tasks.testing.fakes.resumable import ResumableFakeUploader
from media_watch_tasks.testing.fakes.source import FakeResolver, FakeScanner
from media_watch_tasks.testing.fakes.tree import FakeFile, FakeTree
from media_watch_tasks.testing.fakes.uploads import (
    FakeBatchUploader,
    FakeUploader,
    RecordingUploader,
    ScriptedOutcome,
    UploadCall,
)

__all__ = [
    "FakeBatchUploader",
    "FakeContext",
    "FakeFile",
    "FakeProber",
    "FakeResolver",
    "FakeScanner",
    "FakeTree",
    "FakeUploader",
    "RecordingUploader",
    "ResumableFakeUploader",
    "ScriptedOutcome",
    "UploadCall",
]
