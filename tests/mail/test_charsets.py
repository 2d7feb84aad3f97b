"""Charsets by their labels (Encoding Standard, "Names and labels"), what is wrong in them, and our own readers."""

import codecs
import encodings
import encodings.aliases

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.mail import charsets

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PIECES = st.lists(st.sampled_from(b"\x1b $ ( B + ~{ \xd8 \x8e \x8f \xa1 \xff a \x0e".split())).map(b"".join)
NAMES = sorted({charset.name for charset in charsets.CHARSETS.values()})


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gbk", "朱镕基"), ("gb2312", "gb18030", "𠀀"), ("x-gbk", "gbk", "中文"),
        ("GB_2312-80", "gbk", "镕"), ("chinese", "gbk", "镕"), ("cp936", "gbk", "镕"),
        ("ks_c_5601-1987", "cp949", "똠방각하"), ("korean", "cp949", "똠"), ("ks_c_5601-1989", "cp949", "똠"),
        ("ksc5601", "cp949", "똠"), ("windows-949", "cp949", "똠"), ("euc-kr", "cp949", "똠"),
        ("shift_jis", "cp932", "①Ⅳ"), ("sjis", "cp932", "①"), ("x-sjis", "cp932", "日本"),
        ("ms_kanji", "cp932", "髙"), ("windows-31j", "cp932", "髙"), ("iso-2022-jp", "iso2022_jp_ext", "ｶﾅ"),
        ("big5", "big5hkscs", "㗎"), ("big5-hkscs", "big5hkscs", "㗎"), ("cn-big5", "big5", "中文"),
        ("x-x-big5", "cp950", "碁銹"), ("us-ascii", "cp1252", "5 €"), ("iso-8859-1", "cp1252", "5 €"),
        ("latin1", "cp1252", "„x“"), ("iso-8859-9", "cp1254", "ğ€"), ("iso-8859-11", "cp874", "ไทย€"),
        ("tis-620", "cp874", "ไทย"), ("windows-874", "cp874", "ไ"), ("iso-8859-8-i", "iso8859-8", "שלום"),
        ("iso-8859-8-e", "iso8859-8", "שלום"), ("iso-8859-6-i", "iso8859-6", "مرحبا"),
        ("iso-8859-6-e", "iso8859-6", "مرحبا"), ("macintosh", "mac_roman", "ä"),
        ("x-mac-roman", "mac_roman", "ä"), ("x-mac-cyrillic", "mac_cyrillic", "Жы"), ("cp-850", "cp850", "ä"),
        ("IBM850", "cp850", "ä"), ("850", "cp850", "ä"), ("utf8", "utf-8", "ä"), ("UTF-8*en", "utf-8", "ä"),
        (" utf-8 ", "utf-8", "ä"), ("koi8-u", "koi8-u", "їж"), ("iso_8859-15", "iso8859-15", "€"),
        ("ISO_8859-2:1987", "iso8859-2", "ł"), ("windows-1251", "cp1251", "Ж"), ("win-1251", "cp1251", "Ж"),
        ("euc-jp", "euc_jp", "日本ｶ"), ("hz-gb-2312", "hz", "中文"), ("utf-16", "utf-16", "a😀"),
        ("utf-16le", "utf-16-le", "a😀"), ("utf-16be", "utf-16-be", "a😀"), ("utf-32", "utf-32", "a😀"),
        ("unicode-1-1-utf-7", "utf-7", "ä+😀"), ("iso-2022-kr", "iso2022_kr", "한글"),
    ],
)  # fmt: skip
def test_a_label_means_what_mail_programs_mean_by_it(label, codec, text):
    assert charsets.decode(text.encode(codec), label) == text
    assert charsets.decode(text.encode(codec), label.encode()) == text
    assert charsets.decode_strictly(text.encode(codec if codec != "cp1252" or label != "us-ascii" else "utf-8"), label)


@pytest.mark.parametrize("octets", ["①Ⅳ髙".encode("cp932")])
def test_iso_2022_jp_and_euc_jp_have_the_extensions_of_code_page_932(octets):
    """NEC's row 13 and IBM's characters, which Python's codecs of these names do not know."""
    jis = b"-!-8|b"  # JIS X 0208: row 13, and NEC's selection of IBM's
    assert charsets.decode(b"\x1b$B" + jis + b"\x1b(B", "iso-2022-jp") == octets.decode("cp932")
    assert charsets.decode(bytes(octet | 0x80 for octet in jis), "euc-jp") == octets.decode("cp932")


@pytest.mark.parametrize(
    ("octets", "label", "text"),
    [
        (b"k\xc3\xa4se \xff", "utf-8", "käse \ufffd"),
        ("grüße ü".encode()[:-1], "utf-8", "grüße \ufffd"),
        (b"a\xe2\x82b", "utf-8", "a\ufffdb"),
        ("中文".encode("gbk") + b"\xff", "gb2312", "中文\ufffd"),
        ("日本".encode("iso-2022-jp")[:-3] + b"\x1b(", "iso-2022-jp", "日本\ufffd\ufffd"),
        (b"\x1b$B!", "iso-2022-jp", "\ufffd"),
        (b"\xa4", "euc-jp", "\ufffd"),
        (b"\xa4a", "euc-jp", "\ufffda"),
        (b"\xa4a\xff\x80", "big5", "兀\ufffd\ufffd"),
        (b"\x81<", "big5", "\ufffd<"),
        (b"\x81\x20b", "shift_jis", "\ufffd b"),
        (b"a\xff", "shift_jis", "a\ufffd"),
        (b"a\xa0\xfd\xfe", "shift_jis", "a\ufffd\ufffd\ufffd"),
        (b"\x81\x98", "windows-1252", "\ufffd˜"),
        (b"\xd8\x00\x00a", "utf-16be", "\ufffda"),
        (b"\x00\xd8a\x00b", "utf-16le", "\ufffda\ufffd"),
        (b"+2AA-x", "utf-7", "\ufffdx"),
        (b"\xe4+-\xff", "utf-7", "\ufffd+\ufffd"),
        (b"\x00\x11\x00\x00\x00\x00\xd8\x00\x00\x00\x00ab", "utf-32be", "\ufffd\ufffda\ufffd"),
    ],
)
def test_only_what_is_wrong_is_replaced(octets, label, text):
    """Unicode 15, 3.9, "U+FFFD substitution of maximal subparts"."""
    assert charsets.decode(octets, label) == text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("grüße".encode(), "grüße"),
        ("grüße".encode("cp1252"), "grüße"),
        ("grüße ü".encode()[:-1], "grüße \ufffd"),
        (b"5 \x80", "5 €"),
        (b"", ""),
    ],
)
def test_without_a_label_text_is_utf_8_or_windows_1252(octets, text):
    assert charsets.readable(octets) == text
    assert charsets.decode(octets, "x-unknown") == text
    assert charsets.decode(octets, "") == text


@pytest.mark.parametrize(
    "label",
    ["bz2", "zlib", "zip", "hex", "base64", "rot13", "uu", "quopri", "punycode", "punycode-", "idna", "unicode_escape",
     "raw_unicode_escape", "undefined", "mbcs", "oem", "utf_8_sig",
     "string_escape", "x" * 1000, "utf\0-8", "../utf-8", ""],
)  # fmt: skip
def test_what_is_no_charset_of_mail_is_not_known_and_never_reaches_the_registry(label, monkeypatch):
    cached = set(encodings._cache)
    assert charsets.find(label) is None
    assert charsets.decode(b"x+AGE-=", label) == "x+AGE-="
    with pytest.raises(ValueError):
        charsets.decode_strictly(b"x", label)
    assert set(encodings._cache) == cached


@given(st.text(max_size=80) | st.sampled_from(sorted(encodings.aliases.aliases)), st.binary(max_size=20))
def test_no_label_makes_anything_raise(label, octets):
    for each in (label, label.encode("utf-8", "replace")):
        charsets.decode(octets, each).encode()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(octets=st.binary(max_size=200) | PIECES)
def test_no_octets_make_a_reader_raise_or_give_lone_surrogates(name, octets):
    text = charsets.CHARSETS[name].decode(octets)
    text.encode("utf-8")
    assert len(text) <= 2 * len(octets) + 1


@pytest.mark.parametrize(
    ("name", "codec"),
    [("utf-16le", "utf-16-le"), ("utf-16be", "utf-16-be"), ("utf-32le", "utf-32-le"), ("utf-32be", "utf-32-be"),
     ("utf-7", "utf-7"), ("utf-8", "utf-8")],
)  # fmt: skip
@given(text=TEXTS)
@example("+-+")
@example("a~😀\\")
def test_our_readers_of_unicode_agree_with_pythons_on_what_is_right(name, codec, text):
    text = text.lstrip("\ufeff")
    assert charsets.CHARSETS[name].decode(text.encode(codec)) == text


@pytest.mark.parametrize(
    ("name", "codec"), [("iso-2022-jp", "iso2022_jp_1"), ("euc-jp", "euc_jp"), ("big5", "big5hkscs")]
)
@given(data=st.data())
def test_our_readers_of_east_asia_agree_with_pythons_on_what_is_right(name, codec, data):
    """But for signs that code page 932 has at other places of Unicode (the wave dash and its like)."""
    pool = (
        "aZ09 ~\\日本語中文字漢いろはアイウ一二三四五鷗" if name != "big5" else "aZ09 ~\\日本語中文字漢㗎一二三四五㐀"
    )
    text = "".join(data.draw(st.lists(st.sampled_from(pool))))
    text = "".join(c for c in text if c.encode(codec, "ignore"))
    assert charsets.CHARSETS[name].decode(text.encode(codec)) == text


@pytest.mark.parametrize("name", ["utf-8", "gb18030", "cp949", "cp932", "hz", "iso2022_kr", "johab"])
def test_a_long_text_is_read_in_pieces_and_characters_are_not_cut(name, monkeypatch):
    text = "中文 ascii\n" * 500 if name not in ("cp949", "iso2022_kr", "johab") else "한글 ascii\n" * 500
    octets = text.encode(name)
    monkeypatch.setattr(charsets, "PIECE", 101)
    assert charsets.CHARSETS[name].decode(octets) == text
    assert charsets.CHARSETS[name].decode(octets + b"\xff") == text + "\ufffd"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("unit", [b"\x1b$", b"\xff", b"~{", b"\x1b", b"\x8f\xa1", b"+A"])
def test_a_long_text_without_lines_makes_no_reader_raise(name, unit, monkeypatch):
    """Python's incremental decoders say "pending buffer overflow" for some of them."""
    monkeypatch.setattr(charsets, "PIECE", 1000)
    charsets.CHARSETS[name].decode(unit * 2000).encode()


def test_a_byte_order_mark_is_no_text():
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        assert charsets.decode("ä".encode(codec), codec.removesuffix("-sig")) == "ä"
    assert charsets.decode(codecs.BOM_UTF16_BE + "ä".encode("utf-16-be"), "utf-16") == "ä"


def test_what_is_searched_for_must_be_in_its_charset():
    assert charsets.decode_strictly(b"\xe4", "latin1") == "ä"
    for octets, label in ((b"\xe4", "us-ascii"), (b"\xe4", "utf-8"), (b"\xff", "gb2312"), (b"x", "nosuch")):
        with pytest.raises(ValueError):
            charsets.decode_strictly(octets, label)
