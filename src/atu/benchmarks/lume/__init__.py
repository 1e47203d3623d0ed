"""LUME (Ramakrishna et al. 2025, arXiv 2502.15097; SemEval-2025 task 4): stories, invented people, biographies."""
