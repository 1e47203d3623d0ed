"""Several processes of one run: who is the main one, and how they agree."""
