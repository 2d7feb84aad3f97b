"""All fuzz targets by name; each has a folder in tests/corpus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.fastparse.agreement import PARSERS
from tests.imap import agreement as imap
from tests.mail.agreement import text
from tests.mime.agreement import mime
from tests.sieve.fuzz import sieve
from tests.telemetry.agreement import log_text

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    **PARSERS,
    "log_text": log_text,
    "mime": mime,
    "sieve": sieve,
    "text": text,
    "imap_tokens": imap.tokens,
    "imap_session": imap.session,
}
