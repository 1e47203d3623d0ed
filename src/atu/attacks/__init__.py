"""Attacks: can what a model was made to forget be brought back? Judged by the benchmarks, changed by no method."""
