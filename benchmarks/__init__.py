"""Relay's benchmarks: the scenarios, the comparison with other servers, and the micro-benchmarks.

    python -m benchmarks              every scenario with its usual counts, then the results page
    python -m benchmarks SCENARIO     one of them; --help tells what can be set
    make bench-micro BASE=main        the hot path's parts by instruction count, against another revision

``load/`` is the load generator and the sink, ``servers/`` starts and stops what is measured, ``scenarios/`` says what
is done to it, ``results/`` holds the figures, ``RESULTS.md`` is made from them. README.md tells how to read it.

Not part of the installed package: a benchmark runs from the source tree.
"""
