# cython: language_level=3
"""The lines of a content, found many octets at a time: the next one that begins with "--", and how many line ends are before
it.

Theory: nearly all octets of a body matter to nobody but for its line count. They are looked at 128 at a time, by vectors as
wide as the machine has them, for an LF that two hyphens follow.

Not here: what such a line is (_mime.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from relay._fastparse cimport octets_t

cdef extern from *:
    """
    #include <assert.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    #if defined(__GNUC__)
    /* Sums of two vectors of octet counts, each at most 252, given as 64-bit words. */
    static inline void relay_add_counts(const uint64_t *lfs, const uint64_t *crlfs, int words, relay_lines *count) {
        const uint64_t even = 0x00FF00FF00FF00FFu, all = 0x0001000100010001u;
        uint64_t lf = 0, crlf = 0;
        for (int i = 0; i < words; i++) {
            lf += (lfs[i] & even) + ((lfs[i] >> 8) & even);
            crlf += (crlfs[i] & even) + ((crlfs[i] >> 8) & even);
        }
        count->lf += (size_t)(lf * all >> 48);
        count->crlf += (size_t)(crlf * all >> 48);
    }

    /* Defines NAME, which moves over whole blocks of 128 octets in which no LF is followed by two hyphens, counts their
       line ends, and returns the offset of the block where it stopped. It reads p[at] to p[n-1] only. SIZE is the width
       of the target's registers: wider vectors are compiled to single octets. */
    #define RELAY_SKIP(NAME, SIZE) \\
    static size_t NAME(const unsigned char *p, size_t at, size_t n, relay_lines *count) { \\
        typedef unsigned char octets __attribute__((vector_size(SIZE))); \\
        const octets all_lf = (octets){0} + '\\n', all_cr = (octets){0} + '\\r', all_hyphens = (octets){0} + '-'; \\
        const int most = 252 / (128 / SIZE);    /* rounds until the counts of one octet are full */ \\
        for (;;) { \\
            octets lfs = {0}, crlfs = {0}; \\
            uint64_t words[2][SIZE / 8]; \\
            int rounds = 0; \\
            for (; rounds < most && n - at > 129; rounds++, at += 128) { \\
                octets lf = lfs, crlf = crlfs, hyphen = {0}; \\
                uint64_t found = 0; \\
                for (int i = 0; i < 128; i += SIZE) { \\
                    octets here, next, after; \\
                    memcpy(&here, p + at + i, SIZE); \\
                    memcpy(&next, p + at + i + 1, SIZE); \\
                    memcpy(&after, p + at + i + 2, SIZE); \\
                    const octets is_lf = (octets)(here == all_lf); \\
                    lf -= is_lf; \\
                    crlf -= (octets)(here == all_cr) & (octets)(next == all_lf); \\
                    hyphen |= is_lf & (octets)(next == all_hyphens) & (octets)(after == all_hyphens); \\
                } \\
                memcpy(words[0], &hyphen, SIZE); \\
                for (int i = 0; i < SIZE / 8; i++) found |= words[0][i]; \\
                if (found) break; \\
                lfs = lf; \\
                crlfs = crlf; \\
            } \\
            if (rounds == 0) return at; \\
            memcpy(words[0], &lfs, SIZE); \\
            memcpy(words[1], &crlfs, SIZE); \\
            relay_add_counts(words[0], words[1], SIZE / 8, count); \\
            if (rounds < most) return at; \\
        } \\
    }

    RELAY_SKIP(relay_skip_plain, 16)    /* SSE2, NEON */
    #else
    static size_t relay_skip_plain(const unsigned char *p, size_t at, size_t n, relay_lines *count) {
        (void)p; (void)n; (void)count;
        return at;
    }
    #endif

    #if defined(__GNUC__) && defined(__x86_64__)
    __attribute__((target("avx2"))) RELAY_SKIP(relay_skip_avx2, 32)
    static int relay_has_avx2(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") != 0;
    }
    #else
    #define relay_skip_avx2 relay_skip_plain
    static int relay_has_avx2(void) { return 0; }
    #endif
    """
    size_t relay_skip_plain(const unsigned char* p, size_t at, size_t n, relay_lines* count) noexcept nogil
    size_t relay_skip_avx2(const unsigned char* p, size_t at, size_t n, relay_lines* count) noexcept nogil
    bint relay_has_avx2() noexcept nogil

ctypedef size_t (*skip_t)(const unsigned char*, size_t, size_t, relay_lines*) noexcept nogil

cdef skip_t _skip = relay_skip_avx2 if relay_has_avx2() else relay_skip_plain


cdef Py_ssize_t next_candidate(octets_t p, Py_ssize_t at, Py_ssize_t n, relay_lines* lines) noexcept nogil:
    """The offset of the first line after the one at ``at`` that begins with "--"; ``n`` when there is none. Counts the
    line ends from ``at`` to there."""
    return _next(p, at, n, _skip, lines)


cdef Py_ssize_t _next(octets_t p, Py_ssize_t at, Py_ssize_t n, skip_t skip_blocks, relay_lines* lines) noexcept nogil:
    """As next_candidate(), by one way to skip. A CRLF that lies across two blocks is counted with the block of its CR.
    """
    cdef Py_ssize_t lf, stop
    while at < n:
        at = skip_blocks(p, at, n, lines)
        stop = at + 128 if n - at > 128 else n
        while at < stop:
            lf = find_lf(p, at, stop)
            if lf == stop:
                lines.crlf += stop < n and p[stop - 1] == c'\r' and p[stop] == c'\n'
                at = stop
                continue
            count_line(lines, line_text_end(p, at, lf, n), lf, n)
            at = lf + 1
            if is_hyphens(p, at, n):
                return at
    return n


VECTORS = ("plain", "avx2") if relay_has_avx2() else ("plain",)


def find_candidate(bytes content, Py_ssize_t at, str vectors):
    cdef relay_lines lines
    cdef Py_ssize_t found
    if vectors not in VECTORS or not 0 <= at <= PyBytes_GET_SIZE(content):
        raise ValueError("no such vectors, or an offset outside the content")
    lines.lf = lines.crlf = 0
    found = _next(<octets_t>PyBytes_AS_STRING(content), at, PyBytes_GET_SIZE(content),
                  relay_skip_avx2 if vectors == "avx2" else relay_skip_plain, &lines)
    return found, lines.lf, lines.crlf
