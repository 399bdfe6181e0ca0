"""The command `mwt` with destinations in the network."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

from tests.uploaders.fault_server import FaultServer

from media_watch_tasks.testing.s3 import StrictS3

HANG_GUARD = 100


def _run(folder: Path, destination: str, **environment: str) -> None:
    source = folder / "source"
    source.mkdir()
    (source / "clip.mp4").write_bytes(b"footage")
    done = subprocess.run(
        [
            sys.executable, "-m", "media_watch_tasks.cli", "run", str(source), destination, "--all", "--settle", "0",
            "--database", str(folder / "watch.db"),
        ],
        env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=HANG_GUARD,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "clip.mp4: delivered" in done.stdout
    assert not [name for name, value in environment.items() if "_REGION" not in name and value in done.stdout]


def test_http_gets_the_token_of_the_environment(tmp_path: Path) -> None:
    with FaultServer() as server:
        _run(tmp_path, server.url + "/in/{path}", MWT_HTTP_TOKEN="canary-token")
        (seen,) = [each for each in server.seen if each.method == "PUT"]
        assert (seen.path, seen.headers["Authorization"]) == ("/in/clip.mp4", "Bearer canary-token")


def test_http_gets_the_user_of_the_url_and_the_password_of_the_environment(tmp_path: Path) -> None:
    with FaultServer() as server:
        _run(tmp_path, server.url.replace("://", "://us%40er@") + "/in/{path}", MWT_HTTP_PASSWORD="canary-word")
        (seen,) = [each for each in server.seen if each.method == "PUT"]
        assert seen.headers["Authorization"] == "Basic " + base64.b64encode(b"us@er:canary-word").decode()


def test_s3_gets_the_credentials_of_the_environment(tmp_path: Path) -> None:
    with StrictS3() as server:
        _run(
            tmp_path,
            f"s3://{server.bucket}/card-1",
            AWS_ENDPOINT_URL=server.url,
            AWS_DEFAULT_REGION=server.region,
            AWS_ACCESS_KEY_ID=server.credentials.access_key,
            AWS_SECRET_ACCESS_KEY=server.credentials.secret_key,
        )
        assert server.objects["card-1/clip.mp4"].data == b"footage"
