"""What checks every call of our code in tests: shapes and dtypes by jaxtyping, the rest by beartype."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it
