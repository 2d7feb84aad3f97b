"""Python-level form of the readers of relay/_mime_values.pyx; the C forms are described in _mime_values.pxd."""

def parse_value(value: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Reads a structured field value: (``type/subtype`` or first token, [(name, value)]), RFC 2045 5.1, RFC 2183 2.

    The word and the names are in lower case; quotes, escapes, folds and comments are removed; RFC 2231 forms are left.
    At most 1,000 parameters are told.
    """
