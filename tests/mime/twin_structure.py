"""Twin of the MIME structure scan: recursive descent over a list of lines, each part asking each line anew."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests.mime import twin_values

FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
FIELDS: Final = (
    "content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-description",
    "content-md5", "content-language", "content-location", "date", "subject", "from", "sender", "reply-to", "to", "cc",
    "bcc", "in-reply-to", "message-id", "references",
)  # fmt: skip


class Part(NamedTuple):
    parent: int
    children: int
    after: int
    depth: int
    kind: str
    encoding: str
    flags: frozenset[str]
    header: tuple[int, int]
    body: tuple[int, int]
    header_lines: tuple[int, int]
    """All, and those without CR."""
    lines: tuple[int, int]
    fields: dict[str, tuple[int, int]]
    content_type: bytes


class Header(NamedTuple):
    next_line: int
    fields: dict[str, tuple[int, int]]
    flags: set[str]


def text_of(line: bytes) -> bytes:
    """A line without its end."""
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def count_lines(octets: bytes) -> tuple[int, int]:
    return octets.count(b"\n"), octets.count(b"\n") - octets.count(b"\r\n")


class Twin:
    def __init__(self, content: bytes, max_parts: int, max_depth: int, max_header: int) -> None:
        self.content = content
        self.lines = re.findall(rb"[^\n]*\n|[^\n]+\Z", content)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.max_parts, self.max_depth, self.max_header = max_parts, max_depth, max_header
        self.parts: list[Part] = []
        self.is_truncated = False
        self.is_over = False
        """Whether delimiters count no more."""

    def delimits(self, number: int, boundaries: list[bytes]) -> tuple[int, bool] | None:
        """(which boundary, whether it is the end) when the line is a delimiter; the innermost is the last."""
        text = text_of(self.lines[number]).rstrip(b" \t")
        for which in reversed(range(len(boundaries))):
            if text in {b"--" + boundaries[which], b"--" + boundaries[which] + b"--"}:
                return which, text != b"--" + boundaries[which]
        return None

    def next_delimiter(self, number: int, boundaries: list[bytes]) -> int:
        """The first delimiter line from ``number`` on; the number of lines when there is none."""
        while number < len(self.lines) and not self.is_over:
            found = self.delimits(number, boundaries)
            if found and not found[1] and len(self.parts) >= self.max_parts:
                self.is_truncated = self.is_over = True
            elif found:
                return number
            number += 1
        return len(self.lines)

    def end_at(self, number: int, body_start: int) -> int:
        """Where a body ends that the delimiter line ``number``, or the end of the content, ends."""
        if number == len(self.lines):
            return len(self.content)
        return max(body_start, self.starts[number] - len(self.lines[number - 1]) + len(text_of(self.lines[number - 1])))

    def header(self, number: int, boundaries: list[bytes], is_message: bool) -> Header:
        fields: dict[str, tuple[int, int]] = {}
        flags = {"no-empty-line"}
        first, current = number, ""
        while number < len(self.lines):
            line, start = self.lines[number], self.starts[number]
            if not text_of(line):
                return Header(number + 1, self.trimmed(fields), flags - {"no-empty-line"})
            if self.delimits(number, boundaries):
                break
            if line[:1] in {b" ", b"\t"} and number > first:
                if current:
                    fields[current] = fields[current][0], start + len(text_of(line))
            elif field := FIELD.match(line):
                name, current = field.group(1).decode().lower(), ""
                if start - self.starts[first] > self.max_header:
                    flags.add("long-header")
                elif name in FIELDS[: None if is_message else 8] and name not in fields:
                    fields[name], current = (start + field.end(), start + len(text_of(line))), name
            else:
                break
            number += 1
        return Header(number, self.trimmed(fields), flags)

    def trimmed(self, fields: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        found = {}
        for name, (start, end) in fields.items():
            value = self.content[start:end]
            first = end - len(value.lstrip(twin_values.SPACE))
            found[name] = first, first + len(value.strip(twin_values.SPACE))
        return found

    def judge(self, header: Header, depth: int, is_in_digest: bool) -> tuple[str, bytes, bytes, set[str]]:
        """(kind, type/subtype, boundary, flags)."""
        flags = {"digest"} if is_in_digest else set()
        value = self.value_of(header, "content-type")
        media = twin_values.media_type(value)
        if "content-type" not in header.fields:
            flags.add("no-type")
            media = (b"message", b"rfc822") if is_in_digest else (b"text", b"plain")
        elif media is None:
            flags.add("bad-type")
            media = (b"text", b"plain")
        content_type = b"/".join(media)
        if media[0] == b"text":
            return "text", content_type, b"", flags
        if media[0] == b"multipart":
            boundary = twin_values.boundary(value)
            if depth >= self.max_depth or not boundary:
                return "basic", content_type, b"", flags | {"too-deep" if depth >= self.max_depth else "no-boundary"}
            return "multipart", content_type, boundary, flags
        encoding = twin_values.encoding(self.value_of(header, "content-transfer-encoding"))
        if content_type not in {b"message/rfc822", b"message/global"} or encoding in {"base64", "quoted-printable"}:
            return "basic", content_type, b"", flags
        if depth >= self.max_depth:
            return "basic", content_type, b"", flags | {"too-deep"}
        if len(self.parts) >= self.max_parts:
            self.is_truncated = True
            return "basic", content_type, b"", flags
        return "message", content_type, b"", flags

    def value_of(self, header: Header, name: str) -> bytes:
        return self.content[slice(*header.fields.get(name, (0, 0)))]

    def part(self, number: int, boundaries: list[bytes], parent: int, is_in_digest: bool = False) -> tuple[int, int]:
        """Reads the part that begins with the line ``number``: (line where it stopped, end of its body)."""
        index, depth = len(self.parts), self.parts[parent].depth + 1 if parent >= 0 else 0
        is_message = parent < 0 or self.parts[parent].kind == "message"
        header = self.header(number, boundaries, is_message)
        header_start, body_start = self.starts[number], self.starts[header.next_line]
        nothing = Part(parent, 0, 0, depth, "", "", frozenset(), (0, 0), (0, 0), (0, 0), (0, 0), {}, b"")
        self.parts.append(nothing)
        kind, content_type, boundary, flags = self.judge(header, depth, is_in_digest)
        self.parts[index] = nothing._replace(kind=kind)
        if kind == "message":
            stop, end = self.part(header.next_line, boundaries, index)
        elif kind == "multipart":
            is_digest = content_type == b"multipart/digest"
            stop, end, is_closed = self.children(header.next_line, [*boundaries, boundary], index, is_digest)
            flags |= {"closed"} if is_closed else set()
        else:
            stop = self.next_delimiter(header.next_line, boundaries)
            end = self.end_at(stop, body_start)
        self.parts[index] = Part(
            parent,
            sum(part.parent == index for part in self.parts),
            len(self.parts),
            depth,
            kind,
            twin_values.encoding(self.value_of(header, "content-transfer-encoding")),
            frozenset(flags | header.flags),
            (header_start, body_start),
            (body_start, end),
            count_lines(self.content[header_start:body_start]),
            count_lines(self.content[body_start:end]),
            header.fields,
            content_type,
        )
        return stop, end

    def children(self, number: int, boundaries: list[bytes], index: int, is_digest: bool) -> tuple[int, int, bool]:
        """The body of the multipart ``index``: (line where it stopped, its end, whether its end delimiter was seen)."""
        body_start = self.starts[number]
        stop = self.next_delimiter(number, boundaries)
        end = self.end_at(stop, body_start)
        while stop < len(self.lines):
            found = self.delimits(stop, boundaries)
            assert found
            which, is_end = found
            if which < len(boundaries) - 1:
                break
            if is_end:
                stop = self.next_delimiter(stop + 1, boundaries[:-1])
                return stop, self.end_at(stop, body_start), True
            stop, end = self.part(stop + 1, boundaries, index, is_digest)
        return stop, end, False


def scan(content: bytes, max_parts: int = 10_000, max_depth: int = 100, max_header: int = 1 << 20) -> Twin:
    twin = Twin(content, max_parts, max_depth, max_header)
    twin.part(0, [], -1)
    return twin


def find_candidate(content: bytes, at: int) -> tuple[int, int, int]:
    found = content.find(b"\n--", at) + 1 or len(content)
    seen = content[at:found]
    return found, seen.count(b"\n"), seen.count(b"\r\n")
