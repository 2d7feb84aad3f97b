"""The script of accounts that have none, where the operator gives no other: mail tagged as spam goes to Junk."""

from __future__ import annotations

from typing import Final

TEXT: Final = b"""\
require ["fileinto", "mailbox", "special-use"];
if anyof (header :matches "X-Spam-Flag" ["yes*", "true*"], header :matches "X-Spam" ["yes*", "true*"]) {
    fileinto :create :specialuse "\\\\Junk" "Junk";
}
"""
