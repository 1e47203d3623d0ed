"""The run folder: opened, written, tracked, read again."""
