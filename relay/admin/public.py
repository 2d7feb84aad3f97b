"""The public HTTP port: settings for mail programs (autoconfig.py), and nothing else.

Everybody may ask, so it answers only for our own local domains, knows no account, and keeps nothing of a request.

Not here: the connections and their limits (server.py).
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import hdrs, web

from relay.admin import autoconfig
from relay.config.model import Config
from relay.mail.address import AddressError, parse_address

MAX_BODY: Final = 8192
"""Octets of a request; Outlook's has about 400."""
_WANTED: Final = re.compile(rb"<(?:\w{1,20}:)?EMailAddress>\s*([^<>\s]{3,320})\s*</")
"""The one field of Outlook's request that matters: no parser of XML looks at what anybody may send."""


def make_public_app(config: Config) -> web.Application:
    """The application."""
    app = web.Application(client_max_size=MAX_BODY)
    views = _Views(config)
    for path in ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"):
        app.router.add_get(path, views.thunderbird)
    for path in ("/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"):
        app.router.add_post(path, views.outlook)
        app.router.add_get(path, views.outlook_by_get)
    app.router.add_get("/email.mobileconfig", views.apple)
    app.on_response_prepare.append(_harden)
    return app


class _Views:
    def __init__(self, config: Config) -> None:
        self._config = config

    async def thunderbird(self, request: web.Request) -> web.Response:
        """For the domain of ``emailaddress``, or else of the host's name ``autoconfig.DOMAIN``."""
        address = request.query.get("emailaddress", "")
        domain = address.rpartition("@")[2] or request.headers.get(hdrs.HOST, "").partition(":")[0]
        domain = self._ours(domain.lower().removeprefix("autoconfig."))
        return _answer(autoconfig.thunderbird(self._config, domain), "text/xml")

    async def outlook(self, request: web.Request) -> web.Response:
        """For the address in the request's body."""
        found = _WANTED.search(await request.read())
        if found is None:
            raise web.HTTPBadRequest(text="400: EMailAddress is missing\n")
        return _answer(autoconfig.outlook(self._config, self._address(found[1].decode(errors="replace"))), "text/xml")

    async def outlook_by_get(self, request: web.Request) -> web.Response:
        """Some programs ask with GET and the address in the query."""
        address = self._address(request.query.get("emailaddress", ""))
        return _answer(autoconfig.outlook(self._config, address), "text/xml")

    async def apple(self, request: web.Request) -> web.Response:
        """The profile for ``emailaddress``."""
        profile = autoconfig.apple(self._config, self._address(request.query.get("emailaddress", "")))
        if not profile:
            raise web.HTTPNotFound(text="404: there is no way in and out for mail programs here\n")
        answer = _answer(profile, "application/x-apple-aspen-config")
        answer.headers[hdrs.CONTENT_DISPOSITION] = 'attachment; filename="mail.mobileconfig"'
        return answer

    def _address(self, text: str) -> str:
        """``text`` as an address of ours; whether it exists is not looked at."""
        try:
            address = parse_address(text[:320]).decode()
        except (AddressError, UnicodeError):
            raise web.HTTPBadRequest(text="400: emailaddress is not an address\n") from None
        self._ours(address.rpartition("@")[2])
        return address

    def _ours(self, domain: str) -> str:
        if domain not in self._config.domains.local:
            raise web.HTTPNotFound(text="404: not a domain of this server\n")
        return domain


def _answer(octets: bytes, content_type: str) -> web.Response:
    return web.Response(body=octets, content_type=content_type, charset="utf-8")


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers[hdrs.SERVER] = "Relay"
    response.headers[hdrs.CONNECTION] = "close"  # or a client would try to use it again
    response.force_close()
