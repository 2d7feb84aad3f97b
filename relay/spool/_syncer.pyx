# cython: language_level=3
"""One thread that writes and syncs outside of the interpreter.

Theory: a sync takes a tenth of a millisecond and more, and there is one for every few messages. A Python thread would
have to take the interpreter's lock twice for each, which costs as much as the sync itself; this one never takes it. It gets
descriptor, buffers and offset over a semaphore, calls pwritev2(2) with RWF_DSYNC, and says through an eventfd(2) that it is
done. The event loop watches that.

Invariants: one job at a time; the buffers stay referenced until its result has been taken.

Not here: what is written (log.py), what a failure means (writer.py).
"""

import errno
import os

from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport errno as c_errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    ssize_t pwritev2(int fd, const iovec* iov, int count, int64_t offset, int flags)
    enum: RWF_DSYNC

cdef extern from "<semaphore.h>" nogil:
    ctypedef struct sem_t:
        pass
    int sem_init(sem_t* semaphore, int shared, unsigned int value)
    int sem_wait(sem_t* semaphore)
    int sem_post(sem_t* semaphore)
    int sem_destroy(sem_t* semaphore)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd_write(int fd, uint64_t value)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t* thread, const void* attributes, void* (*start)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
    int pthread_sigmask(int how, const void* new, void* old)

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t* signals)
    enum: SIG_BLOCK

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec* now)
    enum: CLOCK_MONOTONIC

DEF BUFFERS = 1024

cdef struct Job:
    sem_t wake
    int done_fd
    int fd                      # -1: end the thread
    int count
    int64_t offset
    int64_t result              # octets, or minus the error number
    double seconds
    iovec[BUFFERS] vectors


cdef double _now() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec + now.tv_nsec / 1e9


cdef void* _run(void* argument) noexcept nogil:
    cdef Job* job = <Job*>argument
    cdef ssize_t done
    cdef double started
    cdef sigset_t signals
    sigfillset(&signals)        # signals are for the loop's thread
    pthread_sigmask(SIG_BLOCK, &signals, NULL)
    while True:
        while sem_wait(&job.wake) != 0:
            pass
        if job.fd < 0:
            return NULL
        started = _now()
        done = pwritev2(job.fd, job.vectors, job.count, job.offset, RWF_DSYNC)
        job.result = done if done >= 0 else -c_errno
        job.seconds = _now() - started
        eventfd_write(job.done_fd, 1)


cdef class Syncer:
    """The thread; made and used on the loop's thread. ``fileno`` becomes readable when a job is done."""

    cdef Job* job
    cdef pthread_t thread
    cdef Py_buffer[BUFFERS] held
    cdef int held_count
    cdef readonly int fileno
    cdef readonly bint is_busy

    def __cinit__(self):
        self.fileno = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.job = <Job*>calloc(1, sizeof(Job))
        if self.job == NULL:
            raise MemoryError
        sem_init(&self.job.wake, 0, 0)
        self.job.done_fd = self.fileno
        if pthread_create(&self.thread, NULL, _run, self.job) != 0:
            free(self.job)
            self.job = NULL
            raise OSError(errno.EAGAIN, "no thread to be had")

    def __dealloc__(self):
        if self.job != NULL:
            self.close()

    def submit(self, int fd, buffers, int64_t offset):
        """Begins to write ``buffers`` (objects with a buffer, at most 1024) at ``offset`` of ``fd``, and to sync them."""
        cdef int count = 0
        cdef Py_buffer* view
        if self.job == NULL or self.is_busy:
            raise RuntimeError("the thread is closed or busy")
        if len(buffers) > BUFFERS or fd < 0:
            raise ValueError("too many buffers, or no file")
        try:
            for each in buffers:
                view = &self.held[count]
                PyObject_GetBuffer(each, view, PyBUF_SIMPLE)
                count += 1
                self.job.vectors[count - 1].iov_base = view.buf
                self.job.vectors[count - 1].iov_len = view.len
        except BaseException:
            self.held_count = count
            self.let_go()
            raise
        self.held_count = count
        self.job.fd = fd
        self.job.count = count
        self.job.offset = offset
        self.is_busy = True
        sem_post(&self.job.wake)

    def result(self):
        """(octets written and synced or minus the error number, seconds it took) of the job that is done.

        To be called when ``fileno`` is readable, which it is no longer then. BlockingIOError before that.
        """
        os.eventfd_read(self.fileno)
        self.let_go()
        self.is_busy = False
        return self.job.result, self.job.seconds

    cdef void let_go(self) noexcept:
        cdef int index
        for index in range(self.held_count):
            PyBuffer_Release(&self.held[index])
        self.held_count = 0

    def close(self):
        """Ends the thread, after a job that it has; blocks for as long as that takes."""
        if self.job == NULL:
            return
        if self.is_busy:
            os.set_blocking(self.fileno, True)
            self.result()
        self.job.fd = -1
        sem_post(&self.job.wake)
        with nogil:
            pthread_join(self.thread, NULL)
        sem_destroy(&self.job.wake)
        free(self.job)
        self.job = NULL
        os.close(self.fileno)
