"""Relay: a mail edge appliance. It takes mail in over SMTP, keeps it safely on disk, and brings it to the next
server or to a local mailbox. docs/ARCHITECTURE.md explains the whole; the folder names tell the life of a message."""

__version__ = "0.1.0"
