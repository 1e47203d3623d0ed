"""Tests of the TOFU room. A package, so that its modules may share sample files."""
