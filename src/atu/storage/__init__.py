"""Files written whole or not at all, digests, the cache, and what users bring."""
