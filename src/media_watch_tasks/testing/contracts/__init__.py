"""The contract suites, one module or a few for each interface; `media_watch_tasks.testing` names them."""
