"""The generator's side of SMTP and LMTP: the transactions of a session."""

from typing import Self

from benchmarks.load._smtp_opening import Opening, SmtpLoad

class SmtpSession(Opening):
    def __new__(cls, load: SmtpLoad) -> Self: ...
