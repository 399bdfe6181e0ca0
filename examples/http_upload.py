"""New files of a folder go to a web server, each with one PUT.

python examples/http_upload.py                                     tries it: made-up clips, and a server on this machine
python examples/http_upload.py FOLDER https://media.example.org/{path}     delivers what is new there since the last run
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deliver_folder import deliver_folder, try_it

from media_watch_tasks.http import BearerAuth
from media_watch_tasks.uploaders import HttpUploader


def make_uploader(url: str) -> HttpUploader:
    """An uploader with the token of the environment, if there is one."""
    # A token is read at each request: another program may renew it meanwhile.
    auth = BearerAuth(lambda: os.environ["UPLOAD_TOKEN"]) if "UPLOAD_TOKEN" in os.environ else None
    return HttpUploader(url, auth=auth)


if __name__ == "__main__":
    if sys.argv[1:]:
        deliver_folder(Path(sys.argv[1]), make_uploader(sys.argv[2]), Path("watch.db"))
    else:
        try_it(lambda url: make_uploader(url + "/{path}"))
