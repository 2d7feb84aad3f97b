"""Policy: checks that are asked at each stage of a session, and answer with a value or an awaitable.

- ``pipeline``  which checks a listener has, how they are asked, what they have decided
- ``verdict``   what a check answers, and what it may read
- ``facts``     what checks have found out, for later ones and for the log
- ``content``   a message's content as checks read it
- ``edits``     changes to its header section
- ``checks``    the checks that are always there: who may send where, from tables in memory
- ``assembly``  which listener has which
"""
