"""Scripts, words without spaces, and escaping."""
