"""The admin worker runs on uvloop, and so do its tests."""

import uvloop


def pytest_asyncio_loop_factories():
    """One factory, so each test runs once."""
    return {"uvloop": uvloop.new_event_loop}
