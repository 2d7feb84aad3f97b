"""The MIME structure scanner against its slow twin, the standard library, and hostile contents."""
