"""Python-level form of relay/mail/_encoded_words.pyx. Nothing here raises, and all is linear in the octets."""

def runs(value: bytes) -> list[tuple[bytes, bytes | None]]:
    """What an unfolded value consists of: (octets, label of their charset, None for what stands outside of encoded
    words). Adjacent words with one label are joined, since characters are split over them (RFC 2047 5 forbids it); the
    label is spelled as in the last of them."""

def unfold(value: bytes) -> bytes:
    """``value`` without its folds (RFC 5322 2.2.3); a tab behind one becomes a space. Other line ends stay."""

def from_base64(octets: bytes) -> bytes:
    """RFC 2045 6.8: what is no digit is passed over; padding may stand between pieces."""

def from_quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 6.7: blanks at the end of a line are removed, also behind the ``=`` of a soft line break; what is no
    escape stands as it is. Lines may end with CRLF or LF."""
