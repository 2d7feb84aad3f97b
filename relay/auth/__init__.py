"""Who may log in: the account file."""

from relay.auth.accounts import Account, AccountError, AccountFile

__all__ = ["Account", "AccountError", "AccountFile"]
