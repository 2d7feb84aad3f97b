# cython: language_level=3
"""Asks OpenSSL for what the ssl module of Python does not give: the channel binding tls-exporter (RFC 9266), and the
certificate that a client was shown.

Theory: the functions are looked up at run time in the very libssl that the ssl module uses, as for the
tickets (_tickets.pyx).

Traps. The SSL is the second member of the object inside an SSLObject: so it has been in every CPython up to NEWEST, and
for others nothing is tried.

Not here: the bindings that the ssl module knows (tls_machine.py).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

import _ssl
import ssl
import sys

cdef extern from "<dlfcn.h>" nogil:
    void* dlopen(const char* path, int flags)
    void* dlsym(void* library, const char* name)
    int RTLD_LAZY
    int RTLD_NOLOAD

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass

ctypedef void* (*GetCertificate)(const void*) noexcept nogil
ctypedef int (*Encode)(const void*, unsigned char**) noexcept nogil
ctypedef int (*Export)(void*, unsigned char*, size_t, const char*, size_t, const unsigned char*, size_t, int) noexcept nogil

NEWEST = (3, 14)

cdef enum:
    SIZE = 32

cdef const char* LABEL = b"EXPORTER-Channel-Binding"
cdef Export _export = NULL
cdef GetCertificate _certificate = NULL
cdef Encode _encode = NULL


cdef bint _find_openssl():
    """Looks the function up, once; whether it is there."""
    global _export, _certificate, _encode
    cdef void* library
    if _export != NULL:
        return True
    if sys.implementation.name != "cpython" or sys.version_info[:2] > NEWEST:
        return False
    path = getattr(_ssl, "__file__", None)
    if path is None:
        library = dlopen(NULL, RTLD_LAZY)
    else:
        name = path.encode()
        library = dlopen(<const char*>name, RTLD_LAZY | RTLD_NOLOAD)
    if library == NULL:
        return False
    _certificate = <GetCertificate>dlsym(library, b"SSL_get_certificate")
    _encode = <Encode>dlsym(library, b"i2d_X509")
    if _certificate == NULL or _encode == NULL:
        return False
    _export = <Export>dlsym(library, b"SSL_export_keying_material")
    return _export != NULL


def can_export():
    return _find_openssl()


cdef void* _inner(object connection):
    """The SSL of an SSLObject, or NULL."""
    if not isinstance(connection, ssl.SSLObject) or not _find_openssl():
        return NULL
    held = connection._sslobj
    if not isinstance(held, _ssl._SSLSocket):
        return NULL
    return (<void**>(<char*><void*>held + sizeof(PyObject)))[1]


def served_certificate(connection not None):
    cdef void* inner = _inner(connection)
    cdef void* certificate = NULL if inner == NULL else _certificate(inner)
    cdef unsigned char* out
    cdef int size = 0 if certificate == NULL else _encode(certificate, NULL)
    if size <= 0:
        return None
    octets = PyBytes_FromStringAndSize(NULL, size)
    out = <unsigned char*>PyBytes_AS_STRING(octets)
    return octets if _encode(certificate, &out) == size else None


def tls_exporter(connection not None):
    cdef void* inner = _inner(connection)
    cdef unsigned char octets[SIZE]
    if inner == NULL or _export(inner, octets, SIZE, LABEL, 24, b"", 0, 1) != 1:
        return None
    return <bytes>octets[:SIZE]
