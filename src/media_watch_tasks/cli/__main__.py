"""`python -m media_watch_tasks.cli`: the command `mwt` where its script is not on the path."""

import sys

from media_watch_tasks.cli import main

sys.exit(main())
