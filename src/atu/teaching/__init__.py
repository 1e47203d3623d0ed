"""Teaches a model the people of RWKU, so that there is something to forget, and the models that never met one."""
