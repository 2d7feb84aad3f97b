# cython: language_level=3
"""C declarations of relay/_mime.pyx, for the IMAP code to cimport.

All offsets count from the start of the content; ends are exclusive. Nothing here holds on to the content.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

from relay._mime_values cimport Slice

cdef enum Kind:             # the body types of RFC 9051 9
    KIND_BASIC = 0
    KIND_TEXT
    KIND_MULTIPART          # its delimiters were looked for; its children are its parts
    KIND_MESSAGE            # message/rfc822, message/global; its one child is the message in it

cdef enum PartFlag:
    PART_CLOSED = 1         # a multipart whose end delimiter was seen
    PART_NO_TYPE = 2        # no Content-Type: text/plain, with PART_DIGEST message/rfc822 (RFC 2045 5.2, RFC 2046 5.1.5)
    PART_BAD_TYPE = 4       # a malformed Content-Type: text/plain (RFC 2045 5.2)
    PART_DIGEST = 8         # a child of multipart/digest
    PART_NO_BOUNDARY = 16   # a multipart without a boundary that can be used: KIND_BASIC
    PART_TOO_DEEP = 32      # a multipart or message that a bound kept shut: KIND_BASIC
    PART_LONG_HEADER = 64   # fields that begin beyond ``max_header`` were not noted
    PART_NO_EMPTY_LINE = 128    # the header section ends at a line that is no field, at a delimiter or with the content

cdef enum FieldName:
    FIELD_CONTENT_TYPE = 0
    FIELD_CONTENT_TRANSFER_ENCODING
    FIELD_CONTENT_DISPOSITION
    FIELD_CONTENT_ID
    FIELD_CONTENT_DESCRIPTION
    FIELD_CONTENT_MD5
    FIELD_CONTENT_LANGUAGE
    FIELD_CONTENT_LOCATION
    FIELD_DATE              # from here on noted for messages only, not for the parts of a multipart
    FIELD_SUBJECT
    FIELD_FROM
    FIELD_SENDER
    FIELD_REPLY_TO
    FIELD_TO
    FIELD_CC
    FIELD_BCC
    FIELD_IN_REPLY_TO
    FIELD_MESSAGE_ID
    FIELD_REFERENCES
    FIELD_COUNT

cdef struct PartInfo:
    Slice type              # the token before "/" in Content-Type as written; empty without one that can be used
    Slice subtype
    Slice fields[FIELD_COUNT]   # values of the first field of each name, outer white space removed, folds kept
    uint32_t seen           # 1 << FieldName of those that are there
    uint32_t header_start
    uint32_t body_start
    uint32_t end            # of the body; the line break before a delimiter belongs to the delimiter
    uint32_t header_lines   # LFs in the header section, its empty line included
    uint32_t header_bare    # how many of them have no CR before them
    uint32_t lines          # LFs in the body
    uint32_t bare
    int32_t parent          # index, -1 for the content itself
    int32_t children        # how many
    int32_t after           # the index past the last descendant: the next sibling's, if there is one
    int32_t depth
    unsigned char kind
    unsigned char encoding
    unsigned char flags

cdef class Structure:
    cdef PartInfo* parts    # in the order in which they begin
    cdef readonly int count
    cdef readonly bint is_truncated
    cdef readonly int64_t steps

# Raises ValueError for a content of 4 GiB or more, MemoryError.
cpdef Structure scan(bytes content, int max_parts=?, int max_depth=?, Py_ssize_t max_header=?)
