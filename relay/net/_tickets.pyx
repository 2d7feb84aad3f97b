# cython: language_level=3
"""Gives OpenSSL the keys of session tickets, which the ssl module of Python does not.

Theory: OpenSSL asks a callback to prepare the cipher and the MAC for each ticket it seals or opens. The callback here
takes the key from a table that is one for the process. The functions are looked up at run time in the very libssl that
the ssl module uses, so there is nothing to link, no header is needed to build, and another OpenSSL in the process (that
of the cryptography package) is not touched.

Traps. The SSL_CTX is the first member of an SSLContext object: so it has been in every CPython up to NEWEST, and for
others nothing is tried. The callback runs inside the handshake without the GIL, so it touches no Python object; keys
must not change under it, so set_keys() belongs to the thread that shakes hands. Key material that is no longer used is
overwritten.

Not here: which keys, and when (tickets.py); why it is done like this (docs/adr/0005-tls.md).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy, memset

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

cdef extern from *:
    """
    /* OSSL_PARAM of OpenSSL 3 (openssl/core.h), part of its ABI. */
    typedef struct {
        const char *key; unsigned int data_type; void *data; size_t data_size; size_t return_size;
    } RelayParameter;
    """
    ctypedef struct RelayParameter:
        const char* key
        unsigned int data_type
        void* data
        size_t data_size
        size_t return_size

cdef enum:
    UTF8_STRING = 4                 # OSSL_PARAM_UTF8_STRING
    OCTET_STRING = 5                # OSSL_PARAM_OCTET_STRING
    SET_SESSION_CACHE_MODE = 44     # SSL_CTRL_SET_SESS_CACHE_MODE
    MOST = 256
    TLS_1_3 = 0x0304
    NAME_SIZE = 16
    IV_SIZE = 16

cdef struct TicketKey:
    unsigned char name[16]
    unsigned char mac[32]
    unsigned char cipher[32]

ctypedef int (*TicketCallback)(void*, unsigned char*, unsigned char*, void*, void*, int) noexcept nogil
ctypedef int (*SetTicketCallback)(void*, TicketCallback) noexcept nogil
ctypedef long (*Control)(void*, int, long, void*) noexcept nogil
ctypedef long (*SetTimeout)(void*, long) noexcept nogil
ctypedef void* (*FetchCipher)(void*, const char*, const char*) noexcept nogil
ctypedef int (*InitCipher)(void*, void*, void*, const unsigned char*, const unsigned char*) noexcept nogil
ctypedef int (*SetMacParameters)(void*, const RelayParameter*) noexcept nogil
ctypedef int (*RandomOctets)(unsigned char*, int) noexcept nogil
ctypedef int (*VersionOf)(const void*) noexcept nogil

NEWEST = (3, 14)
MOST_KEYS = MOST

cdef TicketKey[MOST] _keys
cdef int _count = 0
cdef int _current = 0

cdef SetTicketCallback _set_callback = NULL
cdef Control _control = NULL
cdef SetTimeout _set_timeout = NULL
cdef InitCipher _init_encryption = NULL
cdef InitCipher _init_decryption = NULL
cdef SetMacParameters _set_mac = NULL
cdef RandomOctets _random = NULL
cdef VersionOf _version = NULL
cdef void* _cipher = NULL


cdef bint _find_openssl():
    """Looks everything up, once; whether all of it is there (OpenSSL 3 or newer, not linked in statically)."""
    global _set_callback, _control, _set_timeout, _init_encryption, _init_decryption, _set_mac, _random, _version, _cipher
    cdef void* library
    cdef FetchCipher fetch
    if _cipher != NULL:
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
    _set_callback = <SetTicketCallback>dlsym(library, b"SSL_CTX_set_tlsext_ticket_key_evp_cb")
    _control = <Control>dlsym(library, b"SSL_CTX_ctrl")
    _set_timeout = <SetTimeout>dlsym(library, b"SSL_CTX_set_timeout")
    _init_encryption = <InitCipher>dlsym(library, b"EVP_EncryptInit_ex")
    _init_decryption = <InitCipher>dlsym(library, b"EVP_DecryptInit_ex")
    _set_mac = <SetMacParameters>dlsym(library, b"EVP_MAC_CTX_set_params")
    _random = <RandomOctets>dlsym(library, b"RAND_bytes")
    _version = <VersionOf>dlsym(library, b"SSL_version")
    fetch = <FetchCipher>dlsym(library, b"EVP_CIPHER_fetch")
    if (_set_callback == NULL or _control == NULL or _set_timeout == NULL or _init_encryption == NULL
            or _init_decryption == NULL or _set_mac == NULL or _random == NULL or _version == NULL or fetch == NULL):
        return False
    _cipher = fetch(NULL, b"AES-256-CBC", NULL)
    return _cipher != NULL


def install(context not None, long lifetime):
    cdef void* inner
    if not isinstance(context, ssl.SSLContext) or not _find_openssl():
        return False
    inner = (<void**>(<char*><void*>context + sizeof(PyObject)))[0]
    if inner == NULL:
        return False
    _set_callback(inner, _on_ticket)
    _set_timeout(inner, lifetime)
    _control(inner, SET_SESSION_CACHE_MODE, 0, NULL)    # tickets are kept by the clients; nothing is kept here
    return True


def set_keys(keys, int current):
    global _count, _current
    cdef bytes key
    cdef int place
    if not 0 <= current < len(keys) <= MOST or any(len(key) != sizeof(TicketKey) for key in keys):
        raise ValueError("not a table of ticket keys")
    for place, key in enumerate(keys):
        memcpy(&_keys[place], PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
    if len(keys) < _count:
        memset(&_keys[<int>len(keys)], 0, (_count - <int>len(keys)) * sizeof(TicketKey))
    _count = <int>len(keys)
    _current = current


cdef int _on_ticket(void* connection, unsigned char* name, unsigned char* iv, void* cipher, void* mac,
                    int is_new) noexcept nogil:
    """SSL_CTX_set_tlsext_ticket_key_evp_cb(3). 1: go on; 2: go on, and give the client a new ticket; 0: the ticket is not
    ours, shake hands in full; -1: a fault."""
    cdef RelayParameter[3] parameters
    cdef TicketKey* key
    cdef int place = _current
    if is_new:
        if _count == 0 or _random(iv, IV_SIZE) <= 0:
            return -1
        key = &_keys[place]
        memcpy(name, &key.name[0], NAME_SIZE)
        if _init_encryption(cipher, _cipher, NULL, &key.cipher[0], iv) <= 0:
            return -1
    else:
        place = 0
        while place < _count and memcmp(name, &_keys[place].name[0], NAME_SIZE):
            place += 1
        if place == _count:
            return 0
        key = &_keys[place]
        if _init_decryption(cipher, _cipher, NULL, &key.cipher[0], iv) <= 0:
            return -1
    parameters[0] = RelayParameter(b"key", OCTET_STRING, <void*>&key.mac[0], 32, 0)     # a bare array would be copied
    parameters[1] = RelayParameter(b"digest", UTF8_STRING, <void*><const char*>b"SHA256", 6, 0)
    parameters[2] = RelayParameter(NULL, 0, NULL, 0, 0)
    if _set_mac(mac, parameters) <= 0:
        return -1
    # A TLS 1.3 client shows each ticket once, so it needs a new one (RFC 8446 C.4); it comes at no extra round trip.
    return 2 if place > _current or _version(connection) >= TLS_1_3 else 1
