"""Align-then-Unlearn: make a language model forget a concept and keep the rest."""

__version__ = "0.1.0"
