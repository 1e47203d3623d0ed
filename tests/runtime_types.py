"""The type checker that tests apply to every call of our code: shapes and dtypes by jaxtyping, the rest by beartype."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it
