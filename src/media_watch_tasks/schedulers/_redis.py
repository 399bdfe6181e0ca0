"""What is used of redis-py (extra huey)."""

from redis.exceptions import LockError

__all__ = ["LockError"]
