"""MUSE: forgetting news articles or novels (Shi et al. 2025, arXiv 2407.06460). Data, prompts, scores, texts."""
