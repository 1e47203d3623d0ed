"""TOFU: invented authors, whom a model is taught and made to forget (Maini et al. 2024, arXiv 2401.06121)."""
