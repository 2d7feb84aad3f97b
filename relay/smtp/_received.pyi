"""The Received field (RFC 5321 4.4). All of it is for cimport."""
