"""APPEND and REPLACE (RFC 9051 6.3.12, RFC 8508), with MULTIAPPEND (RFC 3502), CATENATE (RFC 4469), UTF8 (RFC 6855),
BINARY (RFC 3516): messages stream into the store as they arrive, and appear all at once, or not at all.

Theory: the command comes line by line, each up to a literal; ``line`` reads it and says whether to go on, the session
brings the octets of the literal to ``write``. After a refusal the rest is read and thrown away.

Not here: literals themselves (reader.py, session.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Final

from relay.imap import urls
from relay.imap._tokens import Tokens
from relay.imap.completion import Bad, Done, No, ending
from relay.imap.events import folded
from relay.imap.grammar import CLOSE, OPEN, SPACE, date_time, flag_list, mailbox
from relay.imap.reader import Literal
from relay.imap.responses import number_set
from relay.imap.state import State
from relay.mailbox.interfaces import Appending
from relay.mailbox.vocabulary import Refusal, Refused

MAX_MESSAGES: Final = 1000
"""In one command."""
_PIECE: Final = 262_144


class Append:
    """One command. Used in jobs, but for ``left`` and ``is_refused``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.left = 0
        """Octets of the literal that are still to come; the session's to count."""
        self.is_refused = False
        self._how: Done | None = None
        self._appending: Appending | None = None
        self._name = ""
        self._messages = 0
        self._size = 0
        self._is_begun = self._is_catenating = self._is_utf8 = False
        self._replaced: int | None = None

    def line(self, tokens: Tokens, literal: Literal | None, octets: bytes = b"") -> Done | None:
        """Reads the command up to ``literal``, or to its end, and writes what there is of the literal. None: go on;
        else how the command ends, at once when the client waits at a literal, else when all of it has come."""
        if self._how is None:
            try:
                if not self._is_begun:
                    self._begin(tokens)
                how = self._rest(tokens, literal)
            except Exception as fault:  # noqa: BLE001 - ending() raises again what is not an answer
                self._refuse(self._named(fault))
            else:
                self.write(octets)
                return how or self._how
        return self._how

    def last(self, tokens: Tokens) -> Generator[bytes, None, Done | None]:
        """The end of the command, as other commands are carried out (commands.py)."""
        yield b""  # a generator, like the others
        return self.line(tokens, None)

    def write(self, octets: bytes) -> None:
        """Octets of the literal."""
        if self.is_refused or self._appending is None:
            return
        try:
            self._appending.write(octets)
        except Exception as fault:  # noqa: BLE001 - see line()
            self._refuse(ending(fault))

    def abort(self) -> None:
        """Leaves nothing behind."""
        if self._appending is not None:
            self._appending.abort()
            self._appending = None

    def _refuse(self, how: Done) -> None:
        self._how = how
        self.is_refused = True
        self.abort()

    def _named(self, fault: Exception) -> Done:
        how = ending(fault)
        return how._replace(code="TRYCREATE") if isinstance(fault, Refused) and how.code == "NONEXISTENT" else how

    def _begin(self, tokens: Tokens) -> None:
        tokens.tag()
        tokens.space()
        word = tokens.word()
        is_by_uid = word == b"UID"
        if is_by_uid:
            tokens.space()
            word = tokens.word()
        tokens.space()
        if word == b"REPLACE":
            self._replace_what(tokens.number(), is_by_uid)
            tokens.space()
        self._name = mailbox(tokens)
        self._is_begun = True
        self._appending = self._state.store.begin_append(self._name)

    def _replace_what(self, number: int, is_by_uid: bool) -> None:
        view = self._state.writable_view
        index = view.index_of(number) if is_by_uid else number - 1
        if not 0 <= index < len(view):
            raise No("There is no message with this number") if is_by_uid else Bad("there is no such message")
        self._replaced = view.uids[index]

    def _rest(self, tokens: Tokens, literal: Literal | None) -> Done | None:
        while True:
            if self._is_utf8:
                tokens.expect(CLOSE)
                self._is_utf8 = False
            elif self._is_catenating:
                if not self._catenate(tokens, literal):
                    return None
            elif tokens.is_at_end and literal is None:
                return self._commit()
            elif not self._message(tokens, literal):
                return None

    def _message(self, tokens: Tokens, literal: Literal | None) -> bool:
        """Flags and date of the next message; False when its literal follows."""
        flags: list[str] = []
        at: int | None = None
        tokens.space()
        if tokens.peek() == OPEN:
            flags = flag_list(tokens)
            tokens.space()
        if tokens.peek() == ord('"'):
            at = date_time(tokens.quoted())
            tokens.space()
        self._messages += 1
        if self._messages > MAX_MESSAGES or (self._replaced is not None and self._messages > 1):
            raise Bad("too many messages in one command", "TOOMANY")
        assert self._appending is not None
        self._appending.add([flag for flag in flags if flag.lower() != "\\recent"], at)
        self._size = 0
        if tokens.is_at_end and literal is not None:
            self._grow(literal.size)
            return False
        word = tokens.word()
        tokens.space()
        tokens.expect(OPEN)
        if word == b"CATENATE":
            self._is_catenating = True
            return True
        if word == b"UTF8" and tokens.is_at_end and literal is not None:
            self._is_utf8 = True
            self._grow(literal.size)
            return False
        raise Bad("the message is missing")

    def _catenate(self, tokens: Tokens, literal: Literal | None) -> bool:
        """The next part; False when its literal follows."""
        if tokens.skip(CLOSE):
            self._is_catenating = False
            return True
        tokens.skip(SPACE)
        word = tokens.word()
        tokens.space()
        if word == b"TEXT" and tokens.is_at_end and literal is not None:
            self._grow(literal.size)
            return False
        if word != b"URL":
            raise Bad("a part is TEXT or URL")
        assert self._appending is not None
        for octets in urls.read(self._state, tokens.astring(), _PIECE):
            self._grow(len(octets))
            self._appending.write(octets)
        return True

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > self._state.append_limit:
            raise No(f"A message has at most {self._state.append_limit} octets", "TOOBIG")

    def _take_out(self, uids: Sequence[int]) -> None:
        """Messages that were just added go again, as far as the disk lets them."""
        with contextlib.suppress(OSError, Refused):
            view = self._state.store.open(self._name)
            try:
                view.expunge(uids, deleted_only=False)
            finally:
                view.close()

    def _commit(self) -> Done:
        if not self._messages or self._appending is None:
            raise Bad("the message is missing")
        appending, self._appending = self._appending, None
        appended = appending.commit()
        self._state.on_added(len(appended.uids))
        self._state.has_put(folded((self._name,))[0], appended.uids)
        uids = number_set(appended.uids).decode()
        if self._replaced is not None:
            try:
                self._state.on_removed(len(self._state.view.expunge([self._replaced], deleted_only=False)))
            except Refused as fault:
                if fault.why is not Refusal.EXPUNGED:
                    raise
            except OSError:  # the old one stays, so the new one goes (RFC 8508 3.5: both or none)
                self._take_out(appended.uids)
                raise
        return Done("", f"APPENDUID {appended.uidvalidity} {uids}")
