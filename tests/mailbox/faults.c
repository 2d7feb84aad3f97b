/* Makes system calls that change a disk fail, for tests (test_failing_disk.py loads it with LD_PRELOAD): the n-th of them,
   or all from the n-th on. Calls that only read are not counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long count, first = -1;
static int cause, is_lasting;

/* Arms the n-th call from now on (from 0), or none (-1); returns how many there were since the last time. */
long relay_fail(long at, int error, int lasting) {
    long before = count;
    count = 0;
    first = at;
    cause = error;
    is_lasting = lasting;
    return before;
}

static int fails(void) {
    long now = count++;
    if (first < 0 || (is_lasting ? now < first : now != first))
        return 0;
    errno = cause;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        mode_t mode = 0;                                                                                               \
        if (flags & O_CREAT) {                                                                                         \
            va_list more;                                                                                              \
            va_start(more, flags);                                                                                     \
            mode = va_arg(more, mode_t);                                                                               \
            va_end(more);                                                                                              \
            if (access(path, F_OK) != 0 && fails())                                                                    \
                return -1;                                                                                             \
        }                                                                                                              \
        return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode);                          \
    }
OPEN(open)
OPEN(open64)

/* What takes no room does not fail for ever, as on a full disk: so a change can be taken back. */
int rename(const char *from, const char *to) { return fails() && !is_lasting ? -1 : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return fails() ? -1 : REAL(link)(from, to); }
int linkat(int one, const char *from, int two, const char *to, int flags) {
    return fails() ? -1 : REAL(linkat)(one, from, two, to, flags);
}
int mkdir(const char *path, mode_t mode) { return fails() ? -1 : REAL(mkdir)(path, mode); }
ssize_t write(int file, const void *octets, size_t size) { return fails() ? -1 : REAL(write)(file, octets, size); }
ssize_t pwrite(int file, const void *octets, size_t size, off_t at) {
    return fails() ? -1 : REAL(pwrite)(file, octets, size, at);
}
ssize_t pwrite64(int file, const void *octets, size_t size, off64_t at) {
    return fails() ? -1 : REAL(pwrite64)(file, octets, size, at);
}
int fsync(int file) { return fails() && !is_lasting ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails() && !is_lasting ? -1 : REAL(fdatasync)(file); }
int fallocate(int file, int mode, off_t at, off_t size) { return fails() ? -1 : REAL(fallocate)(file, mode, at, size); }
int fallocate64(int file, int mode, off64_t at, off64_t size) {
    return fails() ? -1 : REAL(fallocate64)(file, mode, at, size);
}
