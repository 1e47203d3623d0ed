"""A concept of the user's own, judged by the user's own questions."""
