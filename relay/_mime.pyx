# cython: language_level=3
# Structures and parts are made by scan() alone, and nobody pickles them:
# cython: auto_pickle=False
"""The MIME structure of a content: where its parts begin and end, and what their headers say (RFC 2045, 2046).

Theory: one pass. The octets of bodies are only looked at 128 at a time for "a line that begins with --", while
line ends are counted; everything else happens at such lines and in header sections. Open multiparts are a stack of
boundaries; a line that is one of them (innermost first) closes what is open inside, and begins a part or the epilogue.
Line counts of enclosing parts are differences of one running count, so that nesting costs nothing.
Decisions that are made here and nowhere else:
  - a line ends at LF; a CR before it belongs to the line end. Any other CR is text;
  - a delimiter line is the whole line "--boundary", or "--boundary--", and trailing spaces and tabs: what merely
    begins with a boundary is text. RFC 2046 5.1.1 would let a prefix do; then boundaries that are prefixes of one
    another could not be told apart. Python's email and Go's mime/multipart read it as we do;
  - outer boundaries count at every depth (RFC 2046 5.1.2), in header sections too; a closed one counts no more;
  - the first field of a name counts, and MIME-Version is not asked for;
  - message/rfc822 in base64 or quoted-printable is not looked into (RFC 2046 5.2.1 forbids the encoding).
Invariants: no octet outside the content is read; parts come in the order in which they begin; each lies inside its
parent's body, and siblings do not overlap; time is linear in the content, with depth as the factor for lines that
begin with "--" (``steps`` counts the work); memory is bounded by ``max_parts``.

Not here: how lines are found (_mime_lines.pyx), how a field's value is read (_mime_values.pyx), decoding of
bodies, encoded words, addresses and RFC 2231 values (but for boundaries); IMAP's way of writing structures down; part
numbers.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT32_MAX, int64_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memset

from relay._fastparse cimport equals, invariant, octets_t
from relay._mime_lines cimport count_line, find_lf, is_hyphens, line_text_end, next_candidate, relay_lines
from relay._mime_values cimport (
    BOUNDARY_LIMIT, ENCODING_BASE64, ENCODING_QUOTED_PRINTABLE, Slice, field_colon, is_space, media_type, read_boundary,
    transfer_encoding,
)

cdef enum:
    DEPTH_LIMIT = 100           # the most that ``max_depth`` can be: there is one Frame for each
    WITHOUT_GIL_FROM = 1 << 20  # octets: below, taking the GIL again may cost more than the scan
    MESSAGE_FIELDS = FIELD_DATE

cdef struct Frame:              # an open multipart
    int part
    int length
    char boundary[BOUNDARY_LIMIT]

cdef struct Scan:
    octets_t p
    Py_ssize_t n
    Py_ssize_t at               # everything before is done with, and its line ends are counted
    relay_lines lines
    PartInfo* parts
    int count
    int room
    int current                 # the innermost part that is open
    int frame_count
    int max_parts
    int max_depth
    Py_ssize_t max_header
    int64_t steps
    bint is_truncated
    bint is_out_of_memory
    Frame frames[DEPTH_LIMIT]


cdef inline bint _is_word(octets_t p, Slice word, const char* upper) noexcept nogil:
    return equals(<const char*>p, word.start, word.end, upper)


# --- boundaries ---

cdef int _match(Scan* s, Py_ssize_t start, Py_ssize_t text_end, bint* is_end) noexcept nogil:
    """The innermost frame for which the line p[start:text_end), which begins with "--", is a delimiter; -1 for none."""
    cdef octets_t p = s.p
    cdef Py_ssize_t length
    cdef bint ends_with_hyphens
    cdef int frame
    while text_end > start and (p[text_end - 1] == c' ' or p[text_end - 1] == c'\t'):
        text_end -= 1
    start += 2
    length = text_end - start
    if length < 1 or length > BOUNDARY_LIMIT + 2:
        return -1
    ends_with_hyphens = length > 2 and p[text_end - 1] == c'-' and p[text_end - 2] == c'-'
    for frame in range(s.frame_count - 1, -1, -1):
        s.steps += 1
        is_end[0] = ends_with_hyphens and s.frames[frame].length == length - 2
        if ((is_end[0] or s.frames[frame].length == length)
                and memcmp(s.frames[frame].boundary, p + start, s.frames[frame].length) == 0):
            return frame
    return -1


# --- header sections ---

cdef const char* FIELD_TEXTS[FIELD_COUNT]
FIELD_TEXTS[:] = [
    b"CONTENT-TYPE", b"CONTENT-TRANSFER-ENCODING", b"CONTENT-DISPOSITION", b"CONTENT-ID", b"CONTENT-DESCRIPTION",
    b"CONTENT-MD5", b"CONTENT-LANGUAGE", b"CONTENT-LOCATION", b"DATE", b"SUBJECT", b"FROM", b"SENDER", b"REPLY-TO",
    b"TO", b"CC", b"BCC", b"IN-REPLY-TO", b"MESSAGE-ID", b"REFERENCES",
]
cdef Py_ssize_t FIELD_LENGTHS[FIELD_COUNT]
FIELD_LENGTHS[:] = [len(text) for text in FIELD_TEXTS]


cdef int _field_name(octets_t p, Py_ssize_t start, Py_ssize_t end, bint is_message) noexcept nogil:
    """The FieldName of p[start:end), -1 when it is none that is noted."""
    cdef bint is_content = end - start > 8 and p[start + 7] == c'-' and (p[start] | 32) == c'c'
    cdef int name, first = 0 if is_content else MESSAGE_FIELDS, last = MESSAGE_FIELDS if is_content else FIELD_COUNT
    if not is_content and not is_message:
        return -1
    for name in range(first, last):
        if FIELD_LENGTHS[name] == end - start and equals(<const char*>p, start, end, FIELD_TEXTS[name]):
            return name
    return -1


cdef void _trim_fields(octets_t p, PartInfo* part) noexcept nogil:
    cdef int name
    cdef Slice* value
    for name in range(<int>FIELD_COUNT):
        if not part.seen >> name & 1:
            continue
        value = &part.fields[name]
        while value.start < value.end and is_space(p[value.start]):
            value.start += 1
        while value.start < value.end and is_space(p[value.end - 1]):
            value.end -= 1


cdef int _note_field(Scan* s, PartInfo* part, Py_ssize_t name_end, Py_ssize_t colon, Py_ssize_t text_end,
                     bint is_message) noexcept nogil:
    """Notes the field that begins at s.at; returns its FieldName, -1 when it is not noted."""
    cdef int name
    if s.at - part.header_start > s.max_header:
        part.flags |= PART_LONG_HEADER
        return -1
    name = _field_name(s.p, s.at, name_end, is_message)
    if name < 0 or part.seen & 1 << name:
        return -1
    part.seen |= 1 << name
    part.fields[name].start = <uint32_t>(colon + 1)
    part.fields[name].end = <uint32_t>text_end
    return name


cdef void _read_header(Scan* s, PartInfo* part, bint is_message) noexcept nogil:
    """Reads the header section at s.at; s.at is then the start of the body, at the start of a line or at the end."""
    cdef octets_t p = s.p
    cdef Py_ssize_t lf, text_end, colon, name_end = 0
    cdef bint is_end = False, is_first = True
    cdef int field = -1
    part.flags |= PART_NO_EMPTY_LINE
    while s.at < s.n:
        lf = find_lf(p, s.at, s.n)
        text_end = line_text_end(p, s.at, lf, s.n)
        s.steps += 1
        if text_end == s.at:
            part.flags &= ~PART_NO_EMPTY_LINE
            count_line(&s.lines, text_end, lf, s.n)
            s.at = lf + 1
            break
        if is_hyphens(p, s.at, s.n) and _match(s, s.at, text_end, &is_end) >= 0:
            break
        if not is_first and (p[s.at] == c' ' or p[s.at] == c'\t'):
            if field >= 0:
                part.fields[field].end = <uint32_t>text_end
        else:
            colon = field_colon(p, s.at, text_end, &name_end)
            if colon < 0:
                break
            field = _note_field(s, part, name_end, colon, text_end, is_message)
        is_first = False
        count_line(&s.lines, text_end, lf, s.n)
        s.at = lf + 1 if lf < s.n else s.n
    _trim_fields(p, part)


# --- parts ---

cdef PartInfo* _add_part(Scan* s) noexcept nogil:
    """A new innermost part that begins at s.at; NULL, with a reason noted in ``s``, when there can be none."""
    cdef PartInfo* part
    cdef void* grown
    if s.count >= s.max_parts:
        s.is_truncated = True
        return NULL
    if s.count == s.room:
        grown = realloc(s.parts, <size_t>(2 * s.room + 8) * sizeof(PartInfo))
        if grown == NULL:
            s.is_out_of_memory = True
            return NULL
        s.parts = <PartInfo*>grown
        s.room = 2 * s.room + 8
    part = &s.parts[s.count]
    memset(part, 0, sizeof(PartInfo))
    part.parent = s.current
    part.header_start = <uint32_t>s.at
    if s.current >= 0:
        part.depth = s.parts[s.current].depth + 1
        s.parts[s.current].children += 1
    s.current = s.count
    s.count += 1
    return part


cdef void _push_frame(Scan* s, PartInfo* part) noexcept nogil:
    """Opens a multipart, when it has a boundary and the bound allows it."""
    cdef Frame* frame = &s.frames[s.frame_count]
    if part.depth >= s.max_depth:
        part.flags |= PART_TOO_DEEP
        return
    s.steps += part.fields[<int>FIELD_CONTENT_TYPE].end - part.fields[<int>FIELD_CONTENT_TYPE].start
    frame.length = read_boundary(s.p, part.fields[<int>FIELD_CONTENT_TYPE], frame.boundary)
    if frame.length == 0:
        part.flags |= PART_NO_BOUNDARY
        return
    part.kind = KIND_MULTIPART
    frame.part = s.current
    s.frame_count += 1


cdef void _judge_type(Scan* s, PartInfo* part, bint is_in_digest) noexcept nogil:
    """Sets kind and encoding by the fields that were noted; a multipart gets its frame."""
    cdef octets_t p = s.p
    cdef bint is_message = False
    part.encoding = <unsigned char>transfer_encoding(p, part.fields[<int>FIELD_CONTENT_TRANSFER_ENCODING])
    if is_in_digest:
        part.flags |= PART_DIGEST
    if not part.seen & 1 << FIELD_CONTENT_TYPE:
        part.flags |= PART_NO_TYPE
        part.kind = KIND_TEXT
        is_message = is_in_digest
    elif not media_type(p, part.fields[<int>FIELD_CONTENT_TYPE], &part.type, &part.subtype):
        part.flags |= PART_BAD_TYPE
        part.kind = KIND_TEXT
    elif _is_word(p, part.type, b"TEXT"):
        part.kind = KIND_TEXT
    elif _is_word(p, part.type, b"MULTIPART"):
        _push_frame(s, part)
    elif _is_word(p, part.type, b"MESSAGE"):
        is_message = _is_word(p, part.subtype, b"RFC822") or _is_word(p, part.subtype, b"GLOBAL")
    if is_message:
        part.kind = KIND_BASIC
        if part.encoding == ENCODING_BASE64 or part.encoding == ENCODING_QUOTED_PRINTABLE:
            return
        if part.depth >= s.max_depth:
            part.flags |= PART_TOO_DEEP
        elif s.count >= s.max_parts:
            s.is_truncated = True
        else:
            part.kind = KIND_MESSAGE


cdef bint _begin_part(Scan* s) noexcept nogil:
    """Reads the header of a part at s.at, and of the messages that begin in it at once; False when it cannot be added."""
    cdef PartInfo* part
    cdef PartInfo* parent
    cdef bint is_in_digest
    while True:
        part = _add_part(s)
        if part == NULL:
            return False
        parent = &s.parts[part.parent] if part.parent >= 0 else NULL
        part.header_lines, part.header_bare = <uint32_t>s.lines.lf, <uint32_t>(s.lines.lf - s.lines.crlf)
        _read_header(s, part, parent == NULL or parent.kind == KIND_MESSAGE)
        part.body_start = <uint32_t>s.at
        # Until the part is closed, ``lines`` and ``bare`` hold the running counts at the start of its body.
        part.lines, part.bare = <uint32_t>s.lines.lf, <uint32_t>(s.lines.lf - s.lines.crlf)
        part.header_lines, part.header_bare = part.lines - part.header_lines, part.bare - part.header_bare
        is_in_digest = parent != NULL and parent.kind == KIND_MULTIPART and _is_word(s.p, parent.subtype, b"DIGEST")
        _judge_type(s, part, is_in_digest)
        if part.kind != KIND_MESSAGE:
            return True


cdef void _close_parts(Scan* s, int outermost, Py_ssize_t end, relay_lines lines) noexcept nogil:
    """Closes all that is open inside the part ``outermost`` (-1: everything) at ``end``, up to which ``lines`` counts."""
    cdef PartInfo* part
    while s.current != outermost:
        part = &s.parts[s.current]
        invariant(part.header_start <= part.body_start <= end)
        part.end = <uint32_t>end
        part.lines = <uint32_t>lines.lf - part.lines
        part.bare = <uint32_t>(lines.lf - lines.crlf) - part.bare
        part.after = s.count
        s.current = part.parent


cdef void _close_before(Scan* s, int multipart) noexcept nogil:
    """Closes all that is open inside ``multipart`` before the delimiter line at s.at.

    The line break before it is the delimiter's (RFC 2046 5.1.1), unless it ends the header section of an empty body.
    """
    cdef relay_lines lines = s.lines
    cdef Py_ssize_t end = s.at
    if s.current != multipart and end > s.parts[s.current].body_start:
        end -= 1
        lines.lf -= 1
        if end > s.parts[s.current].body_start and s.p[end - 1] == c'\r':
            end -= 1
            lines.crlf -= 1
    _close_parts(s, multipart, end, lines)


cdef bint _take_line(Scan* s) noexcept nogil:
    """Acts on the line at s.at, which begins with "--"; s.at goes behind it when it is a delimiter.

    False when nothing more is to be looked for.
    """
    cdef bint is_end = False
    cdef Py_ssize_t lf = find_lf(s.p, s.at, s.n)
    cdef Py_ssize_t text_end = line_text_end(s.p, s.at, lf, s.n)
    cdef int frame = _match(s, s.at, text_end, &is_end)
    s.steps += 1
    if frame < 0:
        return True
    if not is_end and s.count >= s.max_parts:
        s.is_truncated = True
        return False
    _close_before(s, s.frames[frame].part)
    s.frame_count = frame if is_end else frame + 1
    count_line(&s.lines, text_end, lf, s.n)
    s.at = lf + 1 if lf < s.n else s.n
    if is_end:
        s.parts[s.current].flags |= PART_CLOSED
        return True
    return _begin_part(s)


cdef void _scan(Scan* s) noexcept nogil:
    cdef Py_ssize_t start
    s.current = -1
    if _begin_part(s):
        while s.frame_count and s.at < s.n:
            start = s.at
            if is_hyphens(s.p, start, s.n):
                if not _take_line(s):
                    break
                if s.at > start:
                    continue
            s.at = next_candidate(s.p, start, s.n, &s.lines)
    while s.at < s.n:
        s.at = next_candidate(s.p, s.at, s.n, &s.lines)
    _close_parts(s, -1, s.n, s.lines)


# --- for Python callers; documented in _mime.pyi ---

KINDS = ("basic", "text", "multipart", "message")
ENCODINGS = ("7bit", "8bit", "binary", "base64", "quoted-printable", "")
FLAGS = ("closed", "no-type", "bad-type", "digest", "no-boundary", "too-deep", "long-header", "no-empty-line")
FIELDS = tuple([text.decode().lower() for text in FIELD_TEXTS])


@cython.final
cdef class Structure:
    def __cinit__(self):
        self.parts = NULL

    def __init__(self):
        raise TypeError("structures are made by scan()")

    def __dealloc__(self):
        free(self.parts)

    def __len__(self):
        return self.count

    def __getitem__(self, Py_ssize_t index):
        if not 0 <= index < self.count:
            raise IndexError("no such part")
        cdef Part part = Part.__new__(Part)
        part.structure = self
        part.info = &self.parts[index]
        part.index = <int>index
        return part

    def __iter__(self):
        cdef int index
        for index in range(self.count):
            yield self[index]


@cython.final
cdef class Part:
    cdef Structure structure    # keeps ``info`` alive
    cdef const PartInfo* info
    cdef readonly int index

    def __init__(self):
        raise TypeError("parts are items of a Structure")

    @property
    def parent(self):
        return self.info.parent

    @property
    def children(self):
        return self.info.children

    @property
    def after(self):
        return self.info.after

    @property
    def depth(self):
        return self.info.depth

    @property
    def kind(self):
        return KINDS[self.info.kind]

    @property
    def encoding(self):
        return ENCODINGS[self.info.encoding]

    @property
    def flags(self):
        return frozenset([name for bit, name in enumerate(FLAGS) if self.info.flags >> bit & 1])

    @property
    def header(self):
        return slice(self.info.header_start, self.info.body_start)

    @property
    def body(self):
        return slice(self.info.body_start, self.info.end)

    @property
    def header_lines(self):
        return self.info.header_lines

    @property
    def header_bare_lines(self):
        return self.info.header_bare

    @property
    def lines(self):
        return self.info.lines

    @property
    def bare_lines(self):
        return self.info.bare

    @property
    def fields(self):
        return {
            name: slice(self.info.fields[bit].start, self.info.fields[bit].end)
            for bit, name in enumerate(FIELDS) if self.info.seen >> bit & 1
        }

    def field(self, str name):
        cdef int bit = FIELDS.index(name)
        if not self.info.seen >> bit & 1:
            return None
        return slice(self.info.fields[bit].start, self.info.fields[bit].end)

    def content_type(self, bytes content):
        if self.info.type.start == self.info.type.end:
            return b"message/rfc822" if self.info.flags & PART_DIGEST and self.info.flags & PART_NO_TYPE else b"text/plain"
        return (content[self.info.type.start:self.info.type.end] + b"/"
                + content[self.info.subtype.start:self.info.subtype.end]).lower()


cpdef Structure scan(bytes content, int max_parts=10_000, int max_depth=DEPTH_LIMIT, Py_ssize_t max_header=1_048_576):
    cdef Scan s
    cdef Structure structure
    if PyBytes_GET_SIZE(content) >= UINT32_MAX:
        raise ValueError("the content has 4 GiB or more")
    if max_parts < 1 or not 0 <= max_depth <= DEPTH_LIMIT or max_header < 0:
        raise ValueError("a bound lies outside its range")
    s.p = <octets_t>PyBytes_AS_STRING(content)
    s.n = PyBytes_GET_SIZE(content)
    s.at = s.steps = 0
    s.lines.lf = s.lines.crlf = 0
    s.parts = NULL
    s.count = s.room = s.frame_count = 0
    s.max_parts, s.max_depth, s.max_header = max_parts, max_depth, max_header
    s.is_truncated = s.is_out_of_memory = False
    if s.n < WITHOUT_GIL_FROM:
        _scan(&s)
    else:
        with nogil:
            _scan(&s)
    structure = Structure.__new__(Structure)
    structure.parts = s.parts
    structure.count = s.count
    structure.is_truncated = s.is_truncated
    structure.steps = s.steps
    if s.is_out_of_memory:
        raise MemoryError
    return structure
