"""Unix sockets below a data directory with a long name."""

from pathlib import Path

import pytest

from relay.net import unix


@pytest.fixture(params=["s", "x" * 150])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / str(request.param)
    folder.mkdir()
    return folder / "delivery-0.sock"


def test_a_socket_is_reached_however_long_its_path_is_and_only_by_its_owner(path: Path) -> None:
    with unix.listening(path) as listener, unix.connected(path, timeout=5) as client:
        accepted, _ = listener.accept()
        with accepted:
            client.sendall(b"x")
            accepted.setblocking(True)
            assert accepted.recv(1) == b"x"
        assert path.stat().st_mode & 0o077 == 0


def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    unix.listening(path).close()
    with pytest.raises(ConnectionRefusedError):
        unix.connected(path)
    with unix.listening(path):
        unix.connected(path).close()


def test_a_missing_folder_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unix.listening(path.parent / "nowhere" / "s")
    with pytest.raises(FileNotFoundError):
        unix.connected(path)
