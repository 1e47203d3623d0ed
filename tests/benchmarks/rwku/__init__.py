"""Tests of the RWKU room. A package, so that its modules may share sample rows."""
