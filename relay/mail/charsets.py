"""Charsets of what strangers wrote: which label means which charset, and octets to text. The only such place.

Theory: a label is a key into a table of ours and nothing else. Nothing that a peer wrote reaches Python's registry
of codecs, which would run ``bz2`` as a charset and keep every unknown name for ever; the codecs here are looked up
once, by our own names. Labels mean what mail programs mean by them, which is the superset that they really write
("Names and labels" of the Encoding Standard): gb2312 is GB 18030, iso-8859-1 is windows-1252.

Invariants: no octets and no label make anything here raise; there are no lone surrogates in what is returned; what
is wrong becomes U+FFFD by itself ("maximal subparts", Unicode 15 3.9), never the whole text; time is linear in the
octets with a constant that does not depend on how many of them are wrong, since no error handler in Python is
called for one; and no call holds the GIL for longer than some tens of milliseconds.

Not allowed: codecs that are no charsets (punycode, idna, unicode_escape, rot13, zlib and so on). UTF-7 (RFC 2152)
is: old Exchange servers write it in notices; the reader is ours, because Python's lets lone surrogates through.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Final, NamedTuple

from relay.mail import _charsets

LABEL_LIMIT: Final = 64
"""Octets of the longest label that is looked at."""
PIECE: Final = 1 << 20
"""So many octets are decoded in one call, which holds the GIL."""
STATEFUL_LIMIT: Final = 4 * PIECE
"""Octets of a text in a rare charset with escape sequences (HZ, ISO-2022-KR, ISO-2022-JP-2 and on) that are read."""
_NOT_IN_LABELS: Final = str.maketrans("", "", "-_.: \t\"'")
_NO_SIGNS: Final = "\uf8f0\uf8f1\uf8f2\uf8f3"
_BOM: Final = b"\xef\xbb\xbf"


class Charset(NamedTuple):
    """A charset and how it is read."""

    name: str
    decode: Callable[[bytes], str]


def decode(octets: bytes, label: bytes | str) -> str:
    """``octets`` as text. A label that is unknown says nothing: the octets are taken as ``readable`` takes them."""
    charset = find(label)
    return readable(octets) if charset is None else charset.decode(octets)


def decode_strictly(octets: bytes, label: bytes | str) -> str:
    """The same for what must be right, such as the words of a search. ValueError when the label is not known or the
    octets are not in the charset."""
    charset = find(label)
    if charset is None:
        raise ValueError("the charset is not known")
    if charset.name in ("utf-8", "us-ascii"):
        return octets.decode("utf-8")
    text = charset.decode(octets)
    if "\ufffd" in text:
        raise ValueError("the octets are not in the charset")
    return text


def readable(octets: bytes) -> str:
    """Octets of which nobody says in which charset they are: UTF-8 where any of it is UTF-8, otherwise windows-1252."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        text = _utf8(octets)
        return text if not text.replace("\ufffd", "").isascii() else _single_byte("cp1252")(octets)


def find(label: bytes | str) -> Charset | None:
    """The charset of a label: in any case, with any of the usual spellings (``cp-850``, ``iso_8859-15``, ``utf8``) and
    the language of RFC 2231 5 behind it. None when it is not known."""
    text = str(label[:LABEL_LIMIT], "latin-1") if isinstance(label, bytes) else label[:LABEL_LIMIT]
    return CHARSETS.get(text) or CHARSETS.get(text.partition("*")[0].lower().translate(_NOT_IN_LABELS))


def _utf8(octets: bytes) -> str:
    octets = octets.removeprefix(_BOM)
    if len(octets) <= PIECE:
        return octets.decode("utf-8", "replace")
    return _in_pieces(octets, "utf-8")


def _in_pieces(octets: bytes, codec: str) -> str:
    """By a codec of Python's, line by line as far as lines are no longer than a piece: a line feed is part of no other
    character. (Incremental decoders of East Asian charsets raise for some input, "replace" or not.)"""
    pieces = []
    at = 0
    while at < len(octets):
        end = octets.rfind(b"\n", at, at + PIECE) + 1 if at + PIECE < len(octets) else len(octets)
        end = end or min(at + PIECE, len(octets))
        pieces.append(str(octets[at:end], codec, "replace"))
        at = end
    return "".join(pieces)


def _us_ascii(octets: bytes) -> str:
    """What says it is US-ASCII and has eight bits is something else: UTF-8 if it can be, windows-1252 otherwise."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return _single_byte("cp1252")(octets)


@cache
def _single_byte(codec: str) -> Callable[[bytes], str]:
    """A charset of one octet for each character; ``codec``: one of our own names for it."""
    table = "".join(_character(codec, bytes((octet,))) or "\ufffd" for octet in range(256))
    has_ascii = table[:128] == bytes(range(128)).decode("ascii")

    def read(octets: bytes) -> str:
        if has_ascii and octets.isascii():
            return octets.decode("ascii")
        return codecs.charmap_decode(octets, "replace", table)[0]

    return read


def _character(codec: str, octets: bytes) -> str:
    """One character by a codec of Python's, "" when there is none."""
    try:
        return str(octets, codec)
    except UnicodeDecodeError:
        return ""


def _multi_byte(codec: str) -> Callable[[bytes], str]:
    """A charset that a codec of Python's in C reads; those replace what is wrong without calling back."""
    return lambda octets: _in_pieces(octets, codec)


def _stateful(codec: str) -> Callable[[bytes], str]:
    """The same for one whose escape sequences count to the end: it is read in one go, up to ``STATEFUL_LIMIT``."""
    return lambda octets: str(octets[:STATEFUL_LIMIT], codec, "replace")


def _cp932(octets: bytes) -> str:
    """Python's codec takes four octets that mean nothing for signs of their own."""
    text = _multi_byte("cp932")(octets)
    for sign in _NO_SIGNS:
        text = text.replace(sign, "\ufffd")
    return text


def _utf16(octets: bytes, is_big: bool) -> str:
    return _charsets.utf16(octets, is_big).removeprefix("\ufeff")


def _utf16_marked(octets: bytes) -> str:
    """By its byte order mark; without one low octet first, as the Encoding Standard has it."""
    return _utf16(octets, octets.startswith(b"\xfe\xff"))


def _utf32_marked(octets: bytes) -> str:
    return _charsets.utf32(octets, not octets.startswith(b"\xff\xfe\0\0")).removeprefix("\ufeff")


@cache
def _jis_0208() -> bytes:
    """JIS X 0208 with the rows that code page 932 adds."""
    return _units(
        _character("cp932", bytes(((row >> 1) + (0x81 if row < 62 else 0xC1), _shifted(row, cell))))
        for row in range(94)
        for cell in range(94)
    )


def _shifted(row: int, cell: int) -> int:
    """The second octet of Shift_JIS."""
    return cell + 0x9F if row & 1 else cell + 0x40 + (cell >= 63)


@cache
def _jis_0212() -> bytes:
    return _units(
        _character("euc_jp", bytes((0x8F, row + 0xA1, cell + 0xA1))) for row in range(94) for cell in range(94)
    )


@cache
def _big5_table() -> bytes:
    """Big5-HKSCS, and what only code page 950 has."""
    pairs = (bytes((lead, trail)) for lead in range(0x81, 0xFF) for trail in range(0x40, 0xFF))
    return _units((_character("big5hkscs", pair) or _character("cp950", pair) for pair in pairs), units=2)


def _units(characters: Iterable[str], units: int = 1) -> bytes:
    """Each as so many units of UTF-16, zeroes behind it; what is no pair of the charset (or two of it) as zeroes."""
    made = []
    for character in characters:
        octets = character.encode("utf-16-le") if len(character) <= 2 else b""
        made.append(octets.ljust(2 * units, b"\0") if len(octets) <= 2 * units else bytes(2 * units))
    return b"".join(made)


def _iso_2022_jp(octets: bytes) -> str:
    return _charsets.iso_2022_jp(octets, _jis_0208(), _jis_0212())


def _euc_jp(octets: bytes) -> str:
    return _charsets.euc_jp(octets, _jis_0208(), _jis_0212())


def _big5(octets: bytes) -> str:
    return _charsets.big5(octets, _big5_table())


def _late(codec: str) -> Callable[[bytes], str]:
    """A charset whose table is made when it is first needed."""
    return lambda octets: _single_byte(codec)(octets)  # noqa: PLW0108 - the table is not made now


_UNICODE: Final[dict[str, tuple[Callable[[bytes], str], str]]] = {
    "utf-8": (_utf8, "utf8 unicode11utf8 unicode20utf8 xunicode20utf8 csutf8 utf8mac utf8mb4"),
    "us-ascii": (_us_ascii, "usascii ascii ansix341968 ansix341986 iso646us iso646irv1991 isoir6 646 us csascii"),
    "utf-16": (_utf16_marked, "utf16 ucs2 unicode csunicode iso10646ucs2 csutf16"),
    "utf-16le": (partial(_utf16, is_big=False), "utf16le unicodefeff csutf16le"),
    "utf-16be": (partial(_utf16, is_big=True), "utf16be unicodefffe csutf16be"),
    "utf-32": (_utf32_marked, "utf32 ucs4 iso10646ucs4 csutf32"),
    "utf-32le": (partial(_charsets.utf32, is_big=False), "utf32le csutf32le"),
    "utf-32be": (partial(_charsets.utf32, is_big=True), "utf32be csutf32be"),
    "utf-7": (_charsets.utf7, "utf7 unicode11utf7 unicode20utf7 xunicode20utf7 csunicode11utf7 csutf7"),
    "iso-2022-jp": (_iso_2022_jp, "iso2022jp iso2022jp1 iso2022jpms csiso2022jp cp50220 cp50221 cp50222 jis"),
    "euc-jp": (_euc_jp, "eucjp eucjpms eucjpwin xeucjp ujis cseucpkdfmtjapanese cp51932"),
    "cp932": (_cp932, "shiftjis sjis xsjis mskanji csshiftjis windows31j cswindows31j cp932 932 ms932 windows932"),
    "big5": (_big5, "big5 big5hkscs big5eten cnbig5 xxbig5 csbig5 cp950 950 windows950 ms950 big5tw hkscs"),
}  # fmt: skip
"""Name -> reader, labels without the signs that are left out of them."""
_MULTI_BYTE: Final = {
    "gb18030": "gb18030 gb180302022 gb2312 gbk xgbk gb231280 chinese cp936 936 windows936 ms936 csgb2312 "
               "csiso58gb231280 csgbk euccn gb eucgb2312cn isoir58 cngb hz936 xeuccn",
    "cp949": "ksc56011987 ksc56011989 ksc5601 ksx1001 korean euckr windows949 cp949 949 ms949 uhc xwindows949 "
             "cseuckr csksc56011987 isoir149 ks",
    "shift_jisx0213": "shiftjisx0213 sjisx0213 shiftjis2004 sjis2004",
    "johab": "johab cp1361 ms1361",
    "euc_jis_2004": "eucjis2004 eucjisx0213",
}  # fmt: skip
"""Python's codec -> labels."""
_STATEFUL: Final = {
    "hz": "hz hzgb hzgb2312",
    "iso2022_kr": "iso2022kr csiso2022kr",
    "iso2022_jp_2": "iso2022jp2 csiso2022jp2",
    "iso2022_jp_3": "iso2022jp3",
    "iso2022_jp_2004": "iso2022jp2004",
}
_SINGLE_BYTE: Final = {
    "cp1252": "windows1252 cp1252 xcp1252 1252 win1252 iso88591 iso885911987 isoir100 latin1 l1 ibm819 cp819 "
              "csisolatin1 8859 iso8859 88591 latin",
    "iso8859-2": "iso88592 iso885921987 isoir101 latin2 l2 csisolatin2 88592",
    "iso8859-3": "iso88593 iso885931988 isoir109 latin3 l3 csisolatin3",
    "iso8859-4": "iso88594 iso885941988 isoir110 latin4 l4 csisolatin4",
    "iso8859-5": "iso88595 iso885951988 isoir144 cyrillic csisolatincyrillic",
    "iso8859-6": "iso88596 iso885961987 iso88596i iso88596e isoir127 arabic asmo708 ecma114 csisolatinarabic "
                 "csiso88596i csiso88596e",
    "iso8859-7": "iso88597 iso885971987 isoir126 greek greek8 elot928 ecma118 csisolatingreek suneugreek",
    "iso8859-8": "iso88598 iso885981988 iso88598i iso88598e isoir138 hebrew logical visual csisolatinhebrew "
                 "csiso88598i csiso88598e",
    "cp1254": "windows1254 cp1254 xcp1254 1254 iso88599 iso885991989 isoir148 latin5 l5 csisolatin5",
    "iso8859-10": "iso885910 iso8859101992 isoir157 latin6 l6 csisolatin6",
    "cp874": "windows874 cp874 ibm874 874 dos874 iso885911 iso8859112001 tis620 tis6200 tis62025290 tis62025330 "
             "isoir166 thai",
    "iso8859-13": "iso885913 latin7 l7",
    "iso8859-14": "iso885914 isoir199 latin8 l8 isoceltic",
    "iso8859-15": "iso885915 latin9 l9 csisolatin9 iso885915fdis",
    "iso8859-16": "iso885916 iso8859162001 isoir226 latin10 l10",
    "cp1250": "windows1250 cp1250 xcp1250 1250 win1250",
    "cp1251": "windows1251 cp1251 xcp1251 1251 win1251",
    "cp1253": "windows1253 cp1253 xcp1253 1253",
    "cp1255": "windows1255 cp1255 xcp1255 1255",
    "cp1256": "windows1256 cp1256 xcp1256 1256",
    "cp1257": "windows1257 cp1257 xcp1257 1257",
    "cp1258": "windows1258 cp1258 xcp1258 1258",
    "koi8-r": "koi8r koi8 koi cskoi8r",
    "koi8-u": "koi8u koi8ru",
    "koi8-t": "koi8t",
    "kz1048": "kz1048 strk10482002 rk1048",
    "ptcp154": "ptcp154 csptcp154 pt154 cp154 cyrillicasian",
    "mac_roman": "macintosh mac macroman xmacroman xmac csmacintosh",
    "mac_cyrillic": "maccyrillic xmaccyrillic xmacukrainian macukrainian",
    "mac_greek": "macgreek xmacgreek",
    "mac_turkish": "macturkish xmacturkish",
    "mac_iceland": "maciceland xmaciceland",
    "mac_latin2": "macce maclatin2 xmacce xmaccentraleurroman maccentraleurope",
    "mac_croatian": "maccroatian xmaccroatian",
    "mac_romanian": "macromanian xmacromanian",
    "hp_roman8": "hproman8 roman8 r8 cshproman8",
}  # fmt: skip
_CODE_PAGES: Final = (
    "cp037", "cp273", "cp424", "cp437", "cp500", "cp720", "cp737", "cp775", "cp850", "cp852", "cp855", "cp856", "cp857",
    "cp858", "cp860", "cp861", "cp862", "cp863", "cp864", "cp865", "cp866", "cp869", "cp875", "cp1006", "cp1026",
    "cp1125", "cp1140",
)  # fmt: skip
"""Also known as ``ibm…``, ``csibm…`` and by the number alone."""
_CODE_PAGE_LABELS: Final = ("{0}", "cp{0}", "ibm{0}", "csibm{0}", "ibm{0:0>3}", "cspc{0}")


_OFTEN: Final = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "gb2312", "iso-2022-jp")
"""Labels that most mail has; those need not be brought into one form."""


def _table() -> dict[str, Charset]:
    found: dict[str, Charset] = {}
    for name, (read, labels) in _UNICODE.items():
        found |= dict.fromkeys((name, *labels.split()), Charset(name, read))
    for codec, labels in _MULTI_BYTE.items():
        found |= dict.fromkeys((codec, *labels.split()), Charset(codec, _multi_byte(codec)))
    for codec, labels in _STATEFUL.items():
        found |= dict.fromkeys((codec, *labels.split()), Charset(codec, _stateful(codec)))
    for codec, labels in _SINGLE_BYTE.items():
        found |= dict.fromkeys((codec, *labels.split()), Charset(codec, _late(codec)))
    for codec in _CODE_PAGES:
        spellings = [form.format(codec[2:]) for form in _CODE_PAGE_LABELS]
        found |= dict.fromkeys((codec, *spellings), Charset(codec, _late(codec)))
    for label in _OFTEN:
        found[label] = found[label.upper()] = found[label.translate(_NOT_IN_LABELS)]
    return found


CHARSETS: Final = _table()
"""By label, without the signs that are left out of labels; the names of charsets are labels, too."""
