# cython: language_level=3
"""C declarations of relay/mail/_paths.pyx, for the compiled sessions to cimport. Offsets are relative to ``p``, ``end`` is exclusive."""

from relay._fastparse cimport octets_t

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
    PATH_LENIENT = 64       # while it is read: dots may stand where they do not belong

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
# Spaces between the colon and "<" are tolerated; ``lenient``: so are dots anywhere in a local part that is not quoted,
# and one at the end of the domain. They are kept as they were written.
cdef int path_argument(
    const char* p, Py_ssize_t start, Py_ssize_t end, int verb, bint lenient, PathArgument* out) noexcept nogil

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

# Octets of the well-formed UTF-8 character above U+007F at ``at`` (2 to 4), 0 when there is none (RFC 3629 4).
cdef int utf8_length(octets_t p, Py_ssize_t at, Py_ssize_t end) noexcept nogil
