"""Runs a method's schedule: stages, checkpoints, the stop rule."""
