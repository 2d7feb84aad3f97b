"""What a script may be and do at most. RFC 5228 2.10.6 and RFC 5229 3 name the least that must be allowed."""

from __future__ import annotations

from typing import Final

SCRIPT_OCTETS: Final = 1 << 20
"""Largest script that is read at all; what an account may store is a setting."""
NESTING: Final = 32
"""Blocks and tests inside each other (RFC 5228 2.10.5: at least 15)."""
STRING_CHARACTERS: Final = 65_536
LIST_STRINGS: Final = 4_096
COMMANDS: Final = 10_000
"""Commands and tests in one script."""
PROBLEMS: Final = 50
"""So many errors of a script are told; then reading it ends."""

ACTIONS: Final = 64
"""Actions of one run (RFC 5228 2.10.3 wants a limit)."""
INCLUDE_DEPTH: Final = 10
INCLUDES: Final = 100
"""Scripts that one run includes in all."""
BUDGET: Final = 300_000
"""One for each command and test, and for each 1,000 characters that are compared: half a second or so at most."""
FLAGS: Final = 64
"""Flags of one message."""
VARIABLES: Final = 256
"""RFC 5229 3: at least 128."""
VARIABLE_NAME: Final = 64
VARIABLE_CHARACTERS: Final = 8_192
"""RFC 5229 3: at least 4,000. What is longer is cut."""
EDITED_FIELDS: Final = 100
"""Header fields that one run adds."""
HEADER_OCTETS: Final = 1 << 20
"""Of a longer header section only the beginning is seen."""
BODY_OCTETS: Final = 4 << 20
"""The body test reads so much of a content, and decodes so much in all."""
