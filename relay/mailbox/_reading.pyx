# cython: language_level=3
"""Messages and folders of a Maildir read in one step each, without the interpreter's lock; see _disk.pyx for why.

Theory: whoever can write into a Maildir can put anything there under any name: a link to somebody else's file, a pipe
that nobody writes to, a device. So a file is opened from the account's folder on, name by name, no symbolic link is
followed on the way, opening never waits, and what is no regular file is not read.

Invariants: what fails leaves the errno of the call that failed, as OSError, and no descriptor; a call that a signal
interrupts is made again.

Not here: writing, locks (_disk.pyx), what is read when (content.py, rescan.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc cimport errno
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, strlen

cdef extern from "<sys/stat.h>" nogil:
    struct Stat "stat":
        unsigned int st_mode
        int64_t st_size
    int lstat(const char* path, Stat* found)
    bint S_ISDIR(unsigned int mode)

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <dirent.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/stat.h>
    #include <unistd.h>

    /* The folder that holds ``below``, which is a path below ``root``, and the last name of that path. */
    static int relay_folder(const char *root, const char *below, const char **name) {
        int here = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), there, cause;
        const char *slash;
        char part[256];
        while (here >= 0 && (slash = strchr(below, '/')) != NULL) {
            size_t size = (size_t)(slash - below);
            if (size >= sizeof part || (size == 2 && memcmp(below, "..", 2) == 0)) {
                close(here);
                errno = ENAMETOOLONG;
                return -1;
            }
            memcpy(part, below, size);
            part[size] = 0;
            there = size ? openat(here, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : dup(here);
            cause = errno;
            close(here);
            errno = cause;
            here = there;
            below = slash + 1;
        }
        *name = below;
        return here;
    }

    /* Opens a regular file. What is something else is EISDIR, ELOOP (a symbolic link) or ENXIO. */
    static int relay_regular(int folder, const char *name, int flags, struct stat *found) {
        int file = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), cause;
        if (file < 0)
            return -1;
        if (fstat(file, found) == 0 && S_ISREG(found->st_mode))
            return file;
        cause = S_ISDIR(found->st_mode) ? EISDIR : ENXIO;
        close(file);
        errno = cause;
        return -1;
    }

    static long long relay_number(const char *name, const char *end, char letter) {
        long long number = -1;
        for (; name + 3 < end; name++)
            if (name[0] == ',' && name[1] == letter && name[2] == '=') {
                const char *at = name + 3;
                for (number = 0; at < end && *at >= '0' && *at <= '9' && at - name < 18; at++)
                    number = number * 10 + (*at - '0');
                if (at > name + 3)
                    return number;
                number = -1;
            }
        return number;
    }

    /* Whether the name says that the file has as many octets as are sent (filename.py: is_exact). */
    static int relay_is_exact(const char *name) {
        const char *end = strchr(name, ':');
        long long size;
        if (end == NULL)
            end = name + strlen(name);
        size = relay_number(name, end, 'S');
        return size >= 0 && size == relay_number(name, end, 'W');
    }

    /* Adds the kind and the name of each entry that is not hidden; 'r' for regular files, 'x' for all others. */
    static int relay_names(int folder, char **octets, size_t *size) {
        size_t room = 0;
        struct dirent *entry;
        struct stat found;
        int cause;
        DIR *entries = fdopendir(folder);
        if (entries == NULL) {
            cause = errno;
            close(folder);
            errno = cause;
            return -1;
        }
        while ((errno = 0, entry = readdir(entries)) != NULL) {
            size_t length = strlen(entry->d_name) + 1;
            unsigned char kind = entry->d_type;
            if (entry->d_name[0] == '.')
                continue;
            if (kind == DT_UNKNOWN) {
                if (fstatat(dirfd(entries), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0)
                    continue;
                kind = S_ISREG(found.st_mode) ? DT_REG : DT_LNK;
            }
            if (*size + length + 1 > room) {
                char *more = realloc(*octets, room = 2 * room + length + 4096);
                if (more == NULL) {
                    errno = ENOMEM;
                    break;
                }
                *octets = more;
            }
            (*octets)[(*size)++] = kind == DT_REG ? 'r' : 'x';
            memcpy(*octets + *size, entry->d_name, length);
            *size += length;
        }
        cause = errno;
        closedir(entries);
        errno = cause;
        return cause ? -1 : 0;
    }

    /* Line feeds without a CR before them. Counted in octets, which compilers do many at a time. */
    static Py_ssize_t relay_bare(const char *octets, Py_ssize_t size) {
        Py_ssize_t total = size > 0 && octets[0] == '\\n', at = 1;
        while (at < size) {
            Py_ssize_t end = size - at > 255 ? at + 255 : size;
            unsigned char count = 0;
            for (; at < end; at++)
                count += (octets[at] == '\\n') & (octets[at - 1] != '\\r');
            total += count;
        }
        return total;
    }

    /* Copies with CRLF for each of them. */
    static void relay_send(char *to, const char *octets, Py_ssize_t size) {
        const char *at = octets, *end = octets + size, *found;
        while (at < end && (found = memchr(at, '\\n', (size_t)(end - at))) != NULL) {
            memcpy(to, at, (size_t)(found - at));
            to += found - at;
            if (found == octets || found[-1] != '\\r')
                *to++ = '\\r';
            *to++ = '\\n';
            at = found + 1;
        }
        memcpy(to, at, (size_t)(end - at));
    }
    """
    int relay_folder(const char* root, const char* below, const char** name) noexcept nogil
    int relay_regular(int folder, const char* name, int flags, Stat* found) noexcept nogil
    int relay_is_exact(const char* name) noexcept nogil
    int relay_names(int folder, char** octets, size_t* size) noexcept nogil
    Py_ssize_t relay_bare(const char* octets, Py_ssize_t size) noexcept nogil
    void relay_send(char* to, const char* octets, Py_ssize_t size) noexcept nogil

cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CLOEXEC
        O_DIRECTORY
        O_NOFOLLOW
        O_RDONLY
    int openat(int folder, const char* path, int flags, ...)

cdef extern from "Python.h":
    object PyUnicode_DecodeFSDefaultAndSize(const char* octets, Py_ssize_t size)

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)
    ssize_t read(int descriptor, char* octets, size_t count)


def read_message(bytes root not None, bytes below not None, Py_ssize_t limit):
    sent = _sent(root, below, limit, NULL)
    if sent is False:
        PyErr_SetFromErrno(OSError)
    return sent


def read_messages(bytes root not None, list paths not None, Py_ssize_t limit):
    cdef Folder folder
    cdef list made = []
    folder.descriptor, folder.size = -1, 0
    try:
        for path in paths:
            made.append(None if path is None else _sent(root, <bytes?>path, limit, &folder) or None)
    finally:
        if folder.descriptor >= 0:
            close(folder.descriptor)
    return made


def open_below(bytes root not None, bytes below not None, int flags):
    cdef const char* first = PyBytes_AS_STRING(root)
    cdef const char* path = PyBytes_AS_STRING(below)
    cdef const char* name = NULL
    cdef Stat found
    cdef int folder, file = -1, cause
    with nogil:
        folder = relay_folder(first, path, &name)
        if folder >= 0:
            file = relay_regular(folder, name, flags, &found)
            cause = errno.errno
            close(folder)
            errno.errno = cause
    if file < 0:
        PyErr_SetFromErrno(OSError)
    return file


def entries(bytes root not None, bytes below not None):
    cdef const char* first = PyBytes_AS_STRING(root)
    cdef const char* path = PyBytes_AS_STRING(below)
    cdef const char* name = NULL
    cdef char* octets = NULL
    cdef size_t size = 0, at = 0, length
    cdef int folder, descriptor = -1, failed, cause
    cdef list regular = [], others = []
    with nogil:
        folder = relay_folder(first, path, &name)
        failed = folder < 0
        if not failed:
            descriptor = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            cause = errno.errno
            close(folder)
            errno.errno = cause
            failed = descriptor < 0 or relay_names(descriptor, &octets, &size)
    try:
        if failed:
            PyErr_SetFromErrno(OSError)
        while at < size:
            length = strlen(octets + at + 1)
            found = PyUnicode_DecodeFSDefaultAndSize(octets + at + 1, length)
            (regular if octets[at] == b"r" else others).append(found)
            at += length + 2
    finally:
        free(octets)
    return regular, others


def are_folders(list paths not None):
    cdef const char* path
    cdef Stat found
    cdef int failed
    cdef bint is_folder
    for each in paths:
        path = PyBytes_AS_STRING(<bytes?>each)
        with nogil:
            failed = lstat(path, &found)
            is_folder = not failed and S_ISDIR(found.st_mode)
        if not is_folder:
            return False
    return True


cdef struct Folder:
    int descriptor          # of the folder that the last message was in
    Py_ssize_t size         # octets of its path
    char[512] path


cdef object _sent(bytes root, bytes below, Py_ssize_t limit, Folder* kept):
    """What is sent of the file; None when it is too long, False when it cannot be read: errno says why."""
    cdef const char* first = PyBytes_AS_STRING(root)
    cdef const char* path = PyBytes_AS_STRING(below)
    cdef const char* name = NULL
    cdef char* octets = NULL
    cdef Py_ssize_t size = 0, more = 0, lead = below.rfind(b"/") + 1
    cdef bytes sent
    cdef int failed, folder = -1, cause
    with nogil:
        if kept != NULL and kept.descriptor >= 0 and kept.size == lead and memcmp(kept.path, path, lead) == 0:
            folder, name = kept.descriptor, path + lead
        else:
            folder = relay_folder(first, path, &name)
        failed = folder < 0
        if not failed:
            failed = _read(folder, name, limit, &octets, &size)
            cause = errno.errno
            if kept != NULL and lead < 512:
                if kept.descriptor >= 0 and kept.descriptor != folder:
                    close(kept.descriptor)
                kept.descriptor, kept.size = folder, lead
                memcpy(kept.path, path, lead)
            else:
                close(folder)
            errno.errno = cause
        if not failed and octets != NULL:
            more = relay_bare(octets, size)
            if more and relay_is_exact(name):
                more = 0
    if failed:
        return False
    if octets == NULL:
        return None
    try:
        sent = PyBytes_FromStringAndSize(NULL, size + more)
        if more:
            relay_send(PyBytes_AS_STRING(sent), octets, size)
        else:
            memcpy(PyBytes_AS_STRING(sent), octets, size)
    finally:
        free(octets)
    return sent


cdef int _read(int folder, const char* name, Py_ssize_t limit, char** octets, Py_ssize_t* size) noexcept nogil:
    """Reads a file of at most ``limit`` octets into memory that is the caller's to free; leaves NULL for a longer one."""
    cdef Stat found
    cdef ssize_t count
    cdef int failed = 0, cause
    cdef int descriptor = relay_regular(folder, name, O_RDONLY, &found)
    if descriptor < 0:
        return -1
    if found.st_size <= limit:
        octets[0] = <char*>malloc(found.st_size + 1)
        if octets[0] == NULL:
            failed = -1
        while not failed and size[0] < found.st_size:
            count = read(descriptor, octets[0] + size[0], found.st_size - size[0])
            if count == 0:
                break
            if count > 0:
                size[0] += count
            elif errno.errno != errno.EINTR:
                failed = -1
    cause = errno.errno
    close(descriptor)
    if failed:
        free(octets[0])
    errno.errno = cause
    return failed
