"""The run-time type checker that pytest puts on every annotated function: shapes, and an int where a float is meant."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
