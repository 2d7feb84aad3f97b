"""The half of a session that speaks: replies, deadlines, the end of transactions and of the session, the log."""

from collections.abc import Awaitable
from typing import Any

from relay.policy.pipeline import Subject
from relay.smtp._context import Service

class Question:
    """An answer of policy, or of the Authenticator, that is waited for."""

    @property
    def stage(self) -> int: ...
    @property
    def awaitable(self) -> Awaitable[Any] | None: ...
    def answered(self, answer: Any) -> None:
        """``answer`` is a Verdict or None (of the Authenticator: a Login), or an exception."""

class ReplySession(Subject):
    """What a session says, when it has to, and what it leaves behind. Times are monotonic microseconds."""

    @property
    def service(self) -> Service: ...
    @property
    def client_port(self) -> int: ...
    @property
    def listener(self) -> str: ...
    @property
    def is_submission(self) -> bool: ...
    @property
    def reverse_path(self) -> bytes: ...
    @property
    def recipients(self) -> tuple[bytes, ...]: ...
    @property
    def octets(self) -> int:
        """0; a transaction has more to say."""

    @property
    def session_id(self) -> str: ...
    @property
    def is_over(self) -> bool:
        """Nothing more will be read: close when the output is written."""

    @property
    def state_name(self) -> str:
        """One of relay.smtp._state.STATE_NAMES."""

    @property
    def question(self) -> Awaitable[Any] | None:
        """What the oldest open question waits for, or None; its answer goes to Session.answered()."""

    @property
    def open_questions(self) -> tuple[Question, ...]:
        """Those that wait for an answer, the oldest of each kind first: commands, then contents."""

    @property
    def deadline(self) -> int:
        """When the session has waited long enough; moves without the timer being touched."""

    def __init__(self, service: Service) -> None: ...
    def take_output(self) -> bytes:
        """What is to be written now; empties the output."""

    def rearm(self) -> None:
        """Puts the timer where the deadline is."""
