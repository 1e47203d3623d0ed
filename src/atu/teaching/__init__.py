"""Teaches a model what a benchmark asks about, so that there is something to forget; or all but a part of it."""
