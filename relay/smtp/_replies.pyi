"""The half of a session that speaks: replies, deadlines, the end of transactions and of the session, the log."""

from relay.smtp._context import Service

class Speaker:
    """What a session says, when it has to, and what it leaves behind. Times are monotonic microseconds."""

    @property
    def service(self) -> Service: ...
    @property
    def client_address(self) -> str: ...
    @property
    def client_port(self) -> int: ...
    @property
    def listener(self) -> str: ...
    @property
    def is_submission(self) -> bool: ...
    @property
    def is_trusted(self) -> bool: ...
    @property
    def account(self) -> str: ...
    @property
    def tls(self) -> str: ...
    @property
    def helo(self) -> bytes: ...
    @property
    def reverse_path(self) -> bytes: ...
    @property
    def recipients(self) -> tuple[bytes, ...]: ...
    @property
    def octets(self) -> int:
        """Of the content once it has ended, before that what MAIL has announced, or 0."""

    @property
    def session_id(self) -> str: ...
    @property
    def is_over(self) -> bool:
        """Nothing more will be read: close when the output is written."""

    @property
    def deadline(self) -> int:
        """When the session has waited long enough; moves without the timer being touched."""

    def __init__(self, service: Service) -> None: ...
    def take_output(self) -> bytes:
        """What is to be written now; empties the output."""

    def rearm(self) -> None:
        """Puts the timer where the deadline is."""
