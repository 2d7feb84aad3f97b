"""ManageSieve (RFC 5804): people's programs keep the scripts of their accounts; the server's side as a pure machine."""

from relay.managesieve.session import Limits, Session

__all__ = ["Limits", "Session"]
