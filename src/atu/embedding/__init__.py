"""Texts as vectors: the frozen sentence encoder, the next-k-token windows and the predictor that learns them."""
