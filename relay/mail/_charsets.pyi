"""Python-level form of the readers of relay/mail/_charsets.pyx: octets in, text out; what is wrong becomes U+FFFD.

None raises for any octets, none gives lone surrogates, and all take time that is linear in the octets.
"""

def utf16(octets: bytes, is_big: bool) -> str:
    """UTF-16 without a byte order mark; ``is_big``: high octet first."""

def utf32(octets: bytes, is_big: bool) -> str:
    """UTF-32 without a byte order mark."""

def utf7(octets: bytes) -> str:
    """UTF-7 (RFC 2152)."""

def iso_2022_jp(octets: bytes, jis_0208: bytes, jis_0212: bytes) -> str:
    """ISO-2022-JP (RFC 1468, 2237) with half-width kana. Each table: 94 × 94 UTF-16 units, low octet first, 0 for
    what is not assigned."""

def euc_jp(octets: bytes, jis_0208: bytes, jis_0212: bytes) -> str:
    """EUC-JP with the same tables."""

def big5(octets: bytes, table: bytes) -> str:
    """Big5. ``table``: two UTF-16 units, the second mostly 0, for each pair of a first octet from 0x81 to 0xFE and a
    second one from 0x40 to 0xFE; 0 for what is not assigned."""
