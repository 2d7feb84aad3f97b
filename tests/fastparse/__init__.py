"""The parsers of relay/_fastparse.pyx: each compared with a slow twin, whole, cut at every octet, one octet at a time.

- ``twin_*``      the twins: the same answers from regular expressions and plain Python, written to be obvious
- ``agreement``   one function per parser that fails when parser and twin differ; also what tests/fuzz drives
- ``samples``     the strategies that make input which is nearly right
"""
