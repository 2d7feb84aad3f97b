# cython: language_level=3
# Named tuples made in compiled code. ``tuple.__new__(kind, fields)`` says the same, and costs a call through Python with
# two more tuples for its arguments:
#
#     from relay.mail._named cimport named
#     outcome = named(Outcome, (kind, code, status, text, stage, next_hop))

from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_SET_ITEM

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* kind, Py_ssize_t items)


cdef inline object named(object kind, tuple fields):
    # ``kind`` is a class made by typing.NamedTuple; ``fields`` are all of its fields.
    cdef Py_ssize_t at, count = PyTuple_GET_SIZE(fields)
    cdef object made = PyType_GenericAlloc(<PyTypeObject*>kind, count)
    for at in range(count):
        field = <object>PyTuple_GET_ITEM(fields, at)
        Py_INCREF(field)
        PyTuple_SET_ITEM(made, at, field)
    return made
