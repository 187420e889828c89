"""The error of the data package: input that cannot be used."""


class DataError(ValueError):
    """Input that cannot be used. The message says where, what was expected, what arrived and, if known, what to do."""
