# cython: language_level=3
"""C declarations of relay/_fastparse.pyx, for the compiled sessions to cimport.

Everything takes a pointer and offsets and returns offsets: nothing here owns, allocates or keeps a buffer, except
the few functions that return ``bytes``. Offsets are always relative to ``p``; ``end`` and ``n`` are exclusive.
"""

from libc.stdint cimport int64_t

# --- lines and commands (RFC 5321 2.3.8, 4.1.1) ---

cdef enum Verb:
    V_NONE = 0      # not a verb that we know
    V_HELO
    V_EHLO
    V_LHLO
    V_MAIL
    V_RCPT
    V_DATA
    V_BDAT
    V_RSET
    V_NOOP
    V_VRFY
    V_EXPN
    V_HELP
    V_QUIT
    V_STARTTLS
    V_AUTH
    V_HTTP          # the request line of HTTP: a browser, or a cross-protocol attack; hang up
    V_TLS           # the first octet of a TLS handshake (0x16) on a plain port (a CRLF may never come)

cdef enum Fault:
    F_NONE = 0
    F_BARE_CR
    F_BARE_LF
    F_NUL
    F_TOO_LONG      # set by sessions, which know their limits; never set here
    F_NOT_ASCII     # set by sessions from has_eight_bit(); never set here

# The offset just past the CRLF of the line that begins at ``start``; -1 while there is none. A bare LF ends the line
# too: the offset past it is returned with F_BARE_LF or an earlier fault. ``fault`` is the first fault found so far (it
# may be set with -1); a CR that is the last octet read is not yet a fault.
# The line without its end is p[start:result-2], but p[start:result-1] after a bare LF: look at ``fault`` first.
cdef Py_ssize_t next_line(const char* p, Py_ssize_t start, Py_ssize_t n, int* fault) noexcept nogil

# Whether p[start:end) holds an octet above 127.
cdef bint has_eight_bit(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil

# The Verb of the line p[start:end) (without its CRLF); the argument without outer spaces is p[arg_start:arg_end).
cdef int command(const char* p, Py_ssize_t start, Py_ssize_t end,
                 Py_ssize_t* arg_start, Py_ssize_t* arg_end) noexcept nogil

# --- paths and parameters of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3) ---

cdef enum PathError:
    P_NONE = 0
    P_KEYWORD           # FROM: or TO: is missing
    P_NO_ANGLE          # no "<" where the path must begin
    P_UNCLOSED          # the line ends before ">"
    P_AFTER_PATH        # ">" is followed by something else than a space
    P_NULL              # "<>" as a recipient
    P_LOCAL             # the local part is empty or holds an octet that needs quotes, or a misplaced dot
    P_QUOTED            # the quoted local part is not closed, or holds an octet that is not allowed
    P_NO_DOMAIN         # no "@domain", and not <postmaster> as a recipient
    P_DOMAIN            # the domain is not one (also: its last label is all digits)
    P_LITERAL           # the address literal is not one
    P_ROUTE             # the source route is malformed
    P_UTF8              # octets above 127 that are not UTF-8
    P_LOCAL_TOO_LONG    # over 64 octets   (RFC 5321 4.5.3.1.1)
    P_LABEL_TOO_LONG    # a domain label over 63 octets (RFC 1035 2.3.4)
    P_DOMAIN_TOO_LONG   # over 255 octets  (RFC 5321 4.5.3.1.2)
    P_PATH_TOO_LONG     # over 256 octets, angle brackets counted (RFC 5321 4.5.3.1.3)

cdef enum PathFlag:
    PATH_NULL = 1           # <>
    PATH_POSTMASTER = 2     # <postmaster> without a domain, in any letter case
    PATH_QUOTED = 4         # the local part is a quoted string
    PATH_LITERAL = 8        # the domain is an address literal
    PATH_UTF8 = 16          # octets above 127 (valid UTF-8) in the path: needs SMTPUTF8
    PATH_ROUTED = 32        # a source route stood before the mailbox; it is skipped

cdef struct PathArgument:
    # With error 0 the mailbox as written is p[local_start:domain_end); quotes belong to the local part, square
    # brackets to the domain. Without a domain domain_start == domain_end == local_end.
    Py_ssize_t local_start
    Py_ssize_t local_end
    Py_ssize_t domain_start
    Py_ssize_t domain_end
    Py_ssize_t params_start     # the rest of the line without outer spaces, for next_param()
    Py_ssize_t params_end
    Py_ssize_t fault_at         # with an error: the offset of the octet where it was noticed
    int flags

# Reads "FROM:<path> parameters" (verb V_MAIL) or "TO:<path> parameters" (verb V_RCPT) from p[start:end), the argument
# that command() found. Returns a PathError. Syntax is judged first, lengths only where the syntax is right.
# Spaces between the colon and "<" are tolerated.
cdef int path_argument(const char* p, Py_ssize_t start, Py_ssize_t end, int verb, PathArgument* out) noexcept nogil

# A bare mailbox "local@domain" in p[start:end): the same grammar without brackets. Returns a PathError.
cdef int mailbox(const char* p, Py_ssize_t start, Py_ssize_t end, PathArgument* out) noexcept nogil

# The address of a parsed path as envelopes keep it: domain in lower case (ASCII letters), local part with the fewest
# quotes and escapes that RFC 5321 4.1.2 allows ("a"@b is a@b). b"" for the null path; the local part for <postmaster>.
cdef bytes path_address(const char* p, const PathArgument* path)

cdef enum HostKind:
    HOST_NONE = 0       # neither
    HOST_DOMAIN
    HOST_LITERAL

# What the argument of HELO, EHLO or LHLO is (RFC 5321 4.1.1.1). Underscores are tolerated; valid UTF-8 labels too.
cdef int host_kind(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil

cdef enum Keyword:
    K_OTHER = 0
    K_SIZE          # RFC 1870
    K_BODY          # RFC 6152
    K_SMTPUTF8      # RFC 6531
    K_RET           # RFC 3461
    K_ENVID
    K_NOTIFY
    K_ORCPT
    K_AUTH          # RFC 4954 5
    K_BY            # RFC 2852
    K_MT_PRIORITY   # RFC 6710
    K_REQUIRETLS    # RFC 8689

cdef struct Param:
    int keyword                 # a Keyword
    Py_ssize_t keyword_start
    Py_ssize_t keyword_end
    Py_ssize_t value_start      # -1 when there is no "="
    Py_ssize_t value_end

# The next parameter KEY or KEY=VALUE of p[*at:end). 1: found, *at moves behind it; 0: no more; -1: malformed.
cdef int next_param(const char* p, Py_ssize_t* at, Py_ssize_t end, Param* out) noexcept nogil

# The number of 1 to 20 digits in p[start:end), -1 when it is not one; INT64_MAX stands for all larger numbers.
cdef int64_t decimal(const char* p, Py_ssize_t start, Py_ssize_t end) noexcept nogil

# Whether p[start:end) is ``upper`` (a C string in upper case), in any letter case.
cdef bint equals(const char* p, Py_ssize_t start, Py_ssize_t end, const char* upper) noexcept nogil

# The octets meant by the xtext (RFC 3461 4) in p[start:end); None when it is malformed.
cdef bytes xtext_octets(const char* p, Py_ssize_t start, Py_ssize_t end)
cpdef bytes xtext(bytes octets)

# --- content: end of data, dots (RFC 5321 4.1.1.4, 4.5.2) ---

cdef enum ContentState:
    C_LINE_START = 0    # after CRLF, or nothing read yet
    C_TEXT              # inside a line
    C_CR                # after a CR inside a line
    C_DOT               # after a dot at the start of a line
    C_DOT_CR            # after ".CR" at the start of a line
    C_END               # after the end of data

cdef struct ContentScan:
    int state               # ContentState
    bint dots               # a line other than the last begins with a dot as sent: the content must be unstuffed
    bint dots_left          # a line still begins with a dot once it is unstuffed (Envelope flag DOTS)
    bint eight_bit          # an octet above 127
    int fault               # the first of F_BARE_CR, F_BARE_LF, F_NUL, or F_NONE
    Py_ssize_t line_length  # octets of the unfinished line so far (without a stuffed dot)
    Py_ssize_t longest_line # octets of the longest finished line, without its CRLF and without a stuffed dot

# A fresh scan, as after "DATA CRLF".
cdef void content_scan_init(ContentScan* s) noexcept nogil

# Scans p[start:n). Returns the offset just past the end of data (CRLF.CRLF; ".CRLF" at once for empty content), or -1
# for "more". Nothing else ends the data; faults are noted and the scan goes on to the true end, so that the session
# stays in step. Feed each octet once. The content is all that came before the final ".CRLF", with its last CRLF: when
# it was one buffer, p[start:result-3), to be unstuffed only if ``dots``.
cdef Py_ssize_t scan_content(ContentScan* s, const char* p, Py_ssize_t start, Py_ssize_t n) noexcept nogil

# Unstuffs a stream: ``state`` begins as C_LINE_START; ``out`` needs room for n - start + 1 octets; returns how many
# were written. Feed what scan_content was fed, up to its result: the final ".CRLF" is dropped, also when it is split.
cdef Py_ssize_t unstuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil

# Stuffs a stream: ``state`` begins as C_LINE_START; ``out`` needs room for 2 * (n - start) octets; returns how many
# were written. The final ".CRLF" is the caller's.
cdef Py_ssize_t stuff_into(int* state, const char* p, Py_ssize_t start, Py_ssize_t n, char* out) noexcept nogil

# The same for a whole content (without the final ".CRLF").
cdef bytes unstuff_octets(const char* p, Py_ssize_t start, Py_ssize_t n)
cpdef bytes unstuff(bytes content)
cpdef bytes stuff(bytes content)

# --- header section (RFC 5322 2.2) ---

cdef enum HeaderFlag:
    H_DATE = 1
    H_MESSAGE_ID = 2
    H_FROM = 4
    H_TO = 8
    H_CC = 16
    H_BCC = 32
    H_SENDER = 64
    H_SUBJECT = 128
    H_RETURN_PATH = 256
    H_MIME_VERSION = 512
    H_CONTENT_TYPE = 1024

cdef struct HeaderScan:
    Py_ssize_t end          # the offset of the empty line, or of the first line that is no field
    Py_ssize_t body         # where the body begins: past the empty line; equal to ``end`` when there is none
    int fields              # how many fields
    int received            # how many of them are Received (loops: RFC 5321 6.3)
    int delivered_to        # how many are Delivered-To
    int flags               # HeaderFlag of the fields that are there
    bint malformed          # a line that is no field stands where the empty line should

cdef HeaderScan scan_header(const char* p, Py_ssize_t n) noexcept nogil

# --- replies, as the client reads them (RFC 5321 4.2, RFC 2034) ---

cdef enum ReplyFault:
    R_NONE = 0
    R_SYNTAX            # not three digits, 200 to 599, and a space, a hyphen or the end of the line
    R_CODE_CHANGED      # a line with another code than the first
    R_BARE_LF           # an LF without CR, or a NUL
    R_TOO_LONG          # over REPLY_LIMIT octets

cdef enum:
    REPLY_LIMIT = 32768

cdef struct ReplyScan:
    int code
    int lines
    int fault               # ReplyFault
    int status_class        # the enhanced status of the last line (else of the first); 0 0 0 when there is none
    int status_subject
    int status_detail
    Py_ssize_t text_start   # the text of the last line without code and status
    Py_ssize_t text_end

# Reads one whole reply from p[start:n). Returns the offset past it; -1 for "more"; -2 for malformed (``fault`` says why).
cdef Py_ssize_t scan_reply(const char* p, Py_ssize_t start, Py_ssize_t n, ReplyScan* out) noexcept nogil

# Walks the lines of a whole reply p[at:end): sets the text of the line at ``at`` (after "250-", status not removed) and
# returns the offset of the next line; -1 when ``at`` is ``end``.
cdef Py_ssize_t next_reply_line(const char* p, Py_ssize_t at, Py_ssize_t end,
                                Py_ssize_t* text_start, Py_ssize_t* text_end) noexcept nogil

# The texts of all lines of the whole reply p[start:end), statuses removed, joined with one space.
cdef bytes reply_text(const char* p, Py_ssize_t start, Py_ssize_t end)
