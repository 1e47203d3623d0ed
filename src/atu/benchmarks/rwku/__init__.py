"""RWKU (Jin et al. 2024, arXiv 2406.10890): forgetting real people. Data, prompts, scorers, corpora."""
