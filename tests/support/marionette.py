"""A client of Marionette, by which Mozilla's programs are driven: scripts run inside the program itself.

A packet is the length of its JSON in digits, a colon, and the JSON; a command is ``[0, id, name, parameters]``, its
answer ``[1, id, error, result]`` (firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any


class ScriptError(AssertionError):
    """The program refused a command, or a script raised an error."""


class Marionette:
    """A connection to the program, and a session in it; scripts have the rights of the program's own code."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rb")
        self._number = 0
        assert self._packet()["marionetteProtocol"] == 3
        self.call("WebDriver:NewSession", capabilities={})
        self.call("Marionette:SetContext", value="chrome")

    def call(self, name: str, **parameters: Any) -> Any:
        """The result of one command."""
        self._number += 1
        octets = json.dumps([0, self._number, name, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(octets), octets))
        _, number, fault, result = self._packet()
        assert number == self._number
        if fault:
            raise ScriptError(f"{fault['error']}: {fault['message']}\n{fault['stacktrace']}")
        return result

    def script(self, text: str, /, **names: Any) -> Any:
        """What the body of an asynchronous function returns; it finds ``names`` as its variables."""
        body = f"const {{ {', '.join(names)} }} = arguments[0];\nreturn (async () => {{\n{text}\n}})();"
        return self.call("WebDriver:ExecuteScript", script=body, args=[names], sandbox="system")["value"]

    def close(self) -> None:
        """Asks the program to end, and closes the connection."""
        self._socket.settimeout(15)
        with contextlib.suppress(OSError):  # it has ended, or something holds it up
            self.call("Marionette:Quit", flags=["eForceQuit"])
        self._file.close()
        self._socket.close()

    def _packet(self) -> Any:
        digits = b""
        while (octet := self._file.read(1)) != b":":
            if not octet:
                raise ConnectionResetError("the program has closed the connection")
            digits += octet
        return json.loads(self._file.read(int(digits)))
