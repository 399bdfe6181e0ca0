"""What the script `mwt` calls."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from media_watch_tasks.errors import MediaWatchError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; `arguments` without the program's name, by default those of this process.

    Returns or exits with 0 where all went well, 1 where something is left to look at (a file that failed, a folder that
    could not be listed, a queue that is not healthy), 2 where the command could not be carried out.
    """
    logging.basicConfig(format="mwt: %(message)s", level=logging.WARNING)
    try:
        from media_watch_tasks.cli._commands import app  # noqa: PLC0415 - needs the extra cli

        app(args=arguments, prog_name="mwt")
    except MediaWatchError as error:
        print(f"mwt: {error}", file=sys.stderr)  # noqa: T201 - a command
    return 2
