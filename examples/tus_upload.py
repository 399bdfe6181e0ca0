"""New files of a folder go to a tus server, in chunks, and go on where they were cut off.

python examples/tus_upload.py                                      tries it: made-up clips, and a server on this machine
python examples/tus_upload.py FOLDER https://tus.example.org/files/        delivers what is new there since the last run

Stop it in the middle of a large file, by Ctrl-C or worse, and start it again: what has arrived is not sent again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deliver_folder import deliver_folder, try_it

from media_watch_tasks.uploaders import TusUploader


def make_uploader(url: str) -> TusUploader:
    """An uploader that tells the server which folder a file comes from."""
    return TusUploader(url, metadata=lambda media: {"folder": media.asset.directory.decode("utf-8", "replace")})


if __name__ == "__main__":
    if sys.argv[1:]:
        deliver_folder(Path(sys.argv[1]), make_uploader(sys.argv[2]), Path("watch.db"))
    else:
        try_it(lambda url: make_uploader(url + "/files"), folder="2026")
