# cython: language_level=3
"""What a mailbox asks of the disk: the system calls of one step together, without the interpreter's lock.

Theory: a mailbox worker's threads share one interpreter. Each call of ``os`` gives its lock up and takes it again, and
with eight sessions at work taking it again costs more than the call: a third of an APPEND's time was ``futex``. So the
calls that follow one another in any case are made here, one after the other, with the lock given up once.

Invariants: what fails leaves the errno of the call that failed, as OSError, and no descriptor; a call that a signal
interrupts is made again.

Not here: reading messages and folders (_reading.pyx), what the calls are for, and in which order steps come (logfile.py, mailbox.py, change.py, appending.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc cimport errno
from libc.stdint cimport int64_t, uint64_t

cdef extern from "<sys/stat.h>" nogil:
    struct timespec:
        int64_t tv_sec
        long tv_nsec
    struct Stat "stat":
        uint64_t st_ino
        uint64_t st_dev
        int64_t st_size
        int64_t st_blocks
        timespec st_mtim
    int stat(const char* path, Stat* found)
    int fstat(int descriptor, Stat* found)
    int futimens(int descriptor, const timespec* times)

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>

    /* Sees to it that ``octets`` at ``end`` and ``reserve`` behind them have room on the disk that nobody else takes:
       1 yes, or nobody can say; 0 no. The file's size stays. */
    static int relay_reserve(int file, long long end, long long octets, long long reserve, long long allocated) {
        if (allocated >= end + octets + reserve / 2)
            return 1;
        while (fallocate(file, FALLOC_FL_KEEP_SIZE, end, octets + reserve) != 0)
            if (errno != EINTR)
                return errno != ENOSPC && errno != EDQUOT && errno != EROFS && errno != EBADF;
        return 1;
    }

    """
    int relay_reserve(int file, int64_t end, int64_t octets, int64_t reserve, int64_t allocated) noexcept nogil

cdef extern from "<fcntl.h>" nogil:
    enum:
        O_CLOEXEC
        O_CREAT
        O_DIRECTORY
        O_EXCL
        O_NOFOLLOW
        O_RDONLY
        O_WRONLY
    int open(const char* path, int flags, ...)

cdef extern from "<stdio.h>" nogil:
    int rename(const char* old, const char* new)

cdef extern from "<sys/file.h>" nogil:
    enum:
        LOCK_EX
        LOCK_NB
        LOCK_UN
    int flock(int descriptor, int how)

cdef extern from "<unistd.h>" nogil:
    int close(int descriptor)
    int fdatasync(int descriptor)
    int fsync(int descriptor)
    int ftruncate(int descriptor, int64_t size)
    ssize_t pwrite(int descriptor, const char* octets, size_t count, int64_t offset)
    int unlink(const char* path)


def lock(int descriptor, bytes path not None):
    cdef const char* name = PyBytes_AS_STRING(path)
    cdef Stat mine
    cdef Stat there
    cdef int failed
    cdef bint is_current
    with nogil:
        failed = _lock(descriptor)
        if not failed:
            failed = fstat(descriptor, &mine)
        is_current = not failed and stat(name, &there) == 0
        is_current = is_current and mine.st_ino == there.st_ino and mine.st_dev == there.st_dev
    if failed:
        PyErr_SetFromErrno(OSError)
    return is_current


def unlock(int descriptor):
    cdef Stat mine
    cdef int failed
    with nogil:
        failed = fstat(descriptor, &mine)
        if flock(descriptor, LOCK_UN) != 0:
            failed = -1
    if failed:
        PyErr_SetFromErrno(OSError)
    return mine.st_ino, mine.st_size


def modified(bytes new not None, bytes cur not None):
    cdef const char* first = PyBytes_AS_STRING(new)
    cdef const char* second = PyBytes_AS_STRING(cur)
    cdef int64_t in_new, in_cur
    with nogil:
        in_new = _modified(first)
        in_cur = _modified(second)
    return in_new, in_cur


def look(int descriptor, bytes new not None, bytes cur not None):
    cdef const char* first = PyBytes_AS_STRING(new)
    cdef const char* second = PyBytes_AS_STRING(cur)
    cdef int64_t in_new, in_cur
    cdef Stat mine
    cdef int failed
    with nogil:
        failed = fstat(descriptor, &mine)
        in_new = _modified(first)
        in_cur = _modified(second)
    if failed:
        PyErr_SetFromErrno(OSError)
    return mine.st_size, in_new, in_cur


def has_room(int descriptor, int64_t end, int64_t octets, int64_t reserve):
    cdef Stat mine
    cdef int failed
    cdef bint has = False
    with nogil:
        failed = fstat(descriptor, &mine)
        if not failed:
            has = relay_reserve(descriptor, end, octets, reserve, 512 * mine.st_blocks)
    if failed:
        PyErr_SetFromErrno(OSError)
    return has


def append(int descriptor, bytes octets not None, int64_t offset, bint durable, int64_t reserve, bint uses_reserve):
    cdef const char* start = PyBytes_AS_STRING(octets)
    cdef size_t size = PyBytes_GET_SIZE(octets)
    cdef Stat mine
    cdef int failed, cause
    with nogil:
        failed = fstat(descriptor, &mine)
        if not failed and mine.st_size != offset:
            failed = ftruncate(descriptor, offset)
            mine.st_blocks = 0
        if not failed and not relay_reserve(descriptor, offset, size, reserve, 512 * mine.st_blocks):
            failed = 0 if uses_reserve else -1
        if not failed:
            failed = _write(descriptor, start, size, offset)
            if not failed and durable:
                failed = fdatasync(descriptor)
            if failed:
                cause = errno.errno
                ftruncate(descriptor, offset)
                errno.errno = cause
    if failed:
        PyErr_SetFromErrno(OSError)


def write_file(bytes path not None, bytes octets not None, int64_t modified):
    cdef const char* name = PyBytes_AS_STRING(path)
    cdef const char* start = PyBytes_AS_STRING(octets)
    cdef size_t size = PyBytes_GET_SIZE(octets)
    cdef timespec[2] times
    cdef int descriptor, failed, cause
    times[0].tv_sec = times[1].tv_sec = modified
    times[0].tv_nsec = times[1].tv_nsec = 0
    with nogil:
        descriptor = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        failed = descriptor < 0
        if not failed:
            failed = _write(descriptor, start, size, 0)
            if not failed:
                failed = futimens(descriptor, times)
            if not failed:
                failed = fsync(descriptor)
            cause = errno.errno
            close(descriptor)
            if failed:
                unlink(name)
            errno.errno = cause
    if failed:
        PyErr_SetFromErrno(OSError)


def move(bytes old not None, bytes new not None):
    cdef const char* source = PyBytes_AS_STRING(old)
    cdef const char* target = PyBytes_AS_STRING(new)
    cdef int failed
    with nogil:
        failed = rename(source, target)
    if failed:
        PyErr_SetFromErrno(OSError)


def sync_directory(bytes path not None):
    cdef const char* name = PyBytes_AS_STRING(path)
    cdef int descriptor, failed, cause
    with nogil:
        descriptor = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        failed = descriptor < 0
        if not failed:
            failed = fsync(descriptor)
            cause = errno.errno
            close(descriptor)
            errno.errno = cause
    if failed:
        PyErr_SetFromErrno(OSError)


cdef int _lock(int descriptor) noexcept nogil:
    # Without waiting: EWOULDBLOCK when somebody else has it.
    cdef int failed = flock(descriptor, LOCK_EX | LOCK_NB)
    while failed and errno.errno == errno.EINTR:
        failed = flock(descriptor, LOCK_EX | LOCK_NB)
    return failed


cdef int _write(int descriptor, const char* octets, size_t size, int64_t offset) noexcept nogil:
    cdef ssize_t count
    while size > 0:
        count = pwrite(descriptor, octets, size, offset)
        if count < 0:
            if errno.errno == errno.EINTR:
                continue
            return -1
        octets += count
        offset += count
        size -= count
    return 0


cdef int64_t _modified(const char* path) noexcept nogil:
    cdef Stat found
    return 0 if stat(path, &found) != 0 else found.st_mtim.tv_sec * 1_000_000_000 + found.st_mtim.tv_nsec
