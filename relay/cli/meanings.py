"""What replies mean, for operators: which side decides, and what can be done.

Theory: a reply code says how final a refusal is, the enhanced status (RFC 3463, RFC 5248) what it is about, and where a
server gives neither, its words do, or nothing does. So it is looked for in this order: words that are known, the status
together with its class (4.7.1 and 5.7.1 are different news), the reply code, the class. What never was a reply (nobody
answered, DNS failed, the disk is full) is our own finding, told by stage and status.

Not here: how a journey is shown, and the reasons that our own refusals are counted under (journey_text.py); the words
for authors of mail (relay/dsn/words.py).
"""

from __future__ import annotations

import re
from typing import Any, Final

Fields = dict[str, Any]

OUR_WORDS: Final = {
    "Your account may not send as this address": "The account that logged in used a reverse-path that is not its own "
    'address (auth.senders = "own"; "any" lets accounts write as everybody).',
    "Your account may not write as this author": "The account that logged in wrote From somebody else "
    '(auth.senders = "own"; "any" lets accounts write as everybody).',
    "Relaying denied": "The recipient's domain is none of ours (domains.local, relay_domain), and the client is "
    "neither in trusted_networks nor logged in.",
    "No mailbox is set up for postmaster": "There is no account yet that mail for postmaster could go to (relay "
    "account add; postmaster). The client will try again.",
    "The message names no author": "A submission needs a From field with an address in it (RFC 6409 8, RFC 5322 3.6).",
    "Header section cannot be read": "A line of the header section is no header field, so nobody can tell who wrote "
    "it.",
    "Wait for the reply": "The client sent more before it had the reply, as programs do that were tricked into "
    "sending text (smtp.early_talk).",
    "You spoke before the greeting": "The client did not wait for the greeting, as programs do that send unwanted mail "
    "(smtp.early_talk, smtp.banner_delay).",
    "No valid recipients": "Every recipient was refused; why stands with each.",
    "Too many connections from your address": "More connections from one address than smtp.max_connections_per_client.",
    "Too many connections": "More connections than smtp.max_connections.",
    "Too many TLS handshakes": "More TLS handshakes at the same time than tls.max_handshakes. The client will try "
    "again.",
    "Login needs TLS": "Passwords are taken over TLS only (listener.plaintext_login allows them without).",
    "Too many logins": "Too many logins at once, or too many that failed (auth.max_failures; "
    "docs/operations/login.md).",
}
"""How our words begin, where the reason in the log says less."""
_OUR_STATUSES: Final = {
    "2.1": "The mailbox does not take mail now.",
    "3.5": "Something is set up wrongly here (relay check).",
    "6.0": "The content is not as RFC 5322 has it.",
    "1.1": "The domain is ours and has no such account (relay account list; relay_domain.recipients).",
    "2.2": "The mailbox is full (mailbox.quota; relay mailbox list shows how full).",
    "7.1": "A rule of this server refused it.",
}
"""Our own replies without a reason in the log, by the status without its class."""

_PUT_OFF: Final = {
    r"gr[ea]y-?list": "That server puts off mail from senders it does not know yet (greylisting). The next try mostly "
    "gets through; there is nothing to do.",
}
"""Words of a 4yz reply."""
_WORDS: Final = {
    r"blocked using|blacklist|block ?list|listed (in|at|by)|spamhaus|\brbl\b|dnsbl|barracuda|reputation": (
        "Our address stands on a block list, or has a bad reputation there. Look it up at the list that is named, and "
        "ask to be taken off."
    ),
    r"\bptr\b|reverse dns|reverse lookup|rdns|client host rejected: cannot find your": "That server wants our "
    "address to have a name in DNS (PTR) that leads back to it. Ask whoever gave us the address.",
    r"\bspf\b": "That server says that we may not send for the sender's domain (SPF): list our address in its "
    "TXT record.",
    r"\bdmarc\b": "The policy of the author's domain (DMARC) does not let this mail through: neither SPF nor DKIM fits "
    "the From field.",
    r"\bdkim\b": "That server found the signature (DKIM) missing or broken.",
    r"relay(ing)? (access )?denied|not permitted to relay|unable to relay|relaying not allowed": "That server does not "
    "take mail for this domain: our next hop for it is wrong (relay_domain, smarthost, or the MX of the domain), or it "
    "wants us in its list of clients.",
    r"too many (connections|concurrent)|rate.?limit|throttl|too (fast|many messages|much mail)": "That server takes "
    "only so much from us (delivery.per_destination lowers how much goes there at the same time).",
}
"""Words of any reply that refuses."""
_PATTERNS: Final = tuple(
    (classes, re.compile(words, re.IGNORECASE), meaning)
    for classes, table in (("4", _PUT_OFF), ("45", _WORDS))
    for words, meaning in table.items()
)
_LONGEST: Final = 1024
"""Characters of a reply that are looked at."""
_THERE: Final = {
    "5.1.0": "There is something wrong with the address, that server says.",
    "5.1.1": "That address does not exist there.",
    "5.1.2": "That domain does not exist or takes no mail.",
    "5.1.3": "That server does not understand the recipient's address.",
    "5.1.4": "The address fits several recipients there.",
    "5.1.6": "The recipient has moved.",
    "5.1.7": "That server does not understand the sender's address.",
    "5.1.8": "The sender's domain does not exist, that server says: has it MX or address records?",
    "5.1.9": "That server has passed it on to one that knows less.",
    "5.1.10": "That domain says that it takes no mail (null MX, RFC 7505).",
    "4.1.1": "That server cannot tell now whether the address exists.",
    "4.1.2": "That server cannot find the recipient's domain now.",
    "4.1.8": "That server cannot look the sender's domain up now.",
    "5.2.0": "The mailbox there does not take it.",
    "5.2.1": "The mailbox is disabled.",
    "4.2.1": "The mailbox is busy or disabled for now.",
    "5.2.2": "The mailbox is full.",
    "4.2.2": "The mailbox is full. Its owner can make room; until then it is tried again.",
    "5.2.3": "The message is larger than that mailbox takes.",
    "5.2.4": "A mailing list there cannot be expanded.",
    "4.2.4": "A mailing list there cannot be expanded now.",
    "4.2.0": "The mailbox there does not take it now.",
    "4.3.0": "Something is wrong at that server; its operator has to mend it.",
    "5.3.0": "Something is wrong at that server; its operator has to mend it.",
    "4.3.1": "That server's disk is full.",
    "5.3.1": "That server's disk is full.",
    "4.3.2": "That server takes no mail at the moment: it is being stopped or is overloaded.",
    "5.3.2": "That server takes no mail.",
    "5.3.3": "That server cannot do what the message needs.",
    "4.3.4": "The message is larger than that server takes now.",
    "5.3.4": "The message is larger than that server takes.",
    "4.3.5": "That server is set up wrongly; its operator has to mend it.",
    "5.3.5": "That server is set up wrongly; its operator has to mend it.",
    "4.4.0": "That server could not pass it on.",
    "4.4.1": "The server behind that one does not answer.",
    "4.4.2": "The connection was lost on the way.",
    "4.4.3": "That server's DNS did not answer.",
    "4.4.4": "That server knows no way to the recipient.",
    "5.4.4": "That server knows no way to the recipient.",
    "4.4.5": "That server is overloaded.",
    "4.4.6": "It goes in a circle: two servers hold each other for the right one.",
    "5.4.6": "It goes in a circle: two servers hold each other for the right one.",
    "5.4.7": "That server had it for too long.",
    "4.4.7": "That server had it for too long.",
    "5.5.0": "That server did not understand what we said.",
    "5.5.1": "That server does not have a command that we used, or not at that point.",
    "5.5.2": "That server did not understand what we said.",
    "5.5.3": "Too many recipients for that server.",
    "4.5.3": "That server takes no more recipients with one message; the others follow by themselves.",
    "5.5.4": "That server does not know a parameter that we gave.",
    "5.6.0": "That server does not like the form of the content.",
    "5.6.1": "That server does not take content of this kind.",
    "5.6.2": "It would have to be converted, which that server may not do.",
    "5.6.3": "The next hop does not take 8-bit content.",
    "5.6.6": "That server could not convert the content.",
    "5.6.7": "The next hop does not do internationalised addresses (SMTPUTF8), which this message needs.",
    "5.7.0": "That server refuses it by its rules.",
    "5.7.1": "That server does not want this mail: its rules, our address, or our reputation.",
    "4.7.0": "That server does not want it now: a rule about when or how much, or a check that it could not make.",
    "4.7.1": "That server does not want it now: greylisting, a limit, or a check that it could not make.",
    "5.7.2": "Nobody but members may write to that list.",
    "5.7.3": "A conversion for security is needed, which is not possible.",
    "5.7.4": "That server does not do a security feature that is needed.",
    "5.7.5": "Something is wrong with the cryptography.",
    "5.7.7": "The content was changed on its way.",
    "5.7.8": "The login at that server is wrong.",
    "5.7.9": "That login mechanism is too weak for that server.",
    "5.7.10": "That server wants TLS.",
    "5.7.11": "That server wants TLS before a login.",
    "5.7.13": "The account at that server is disabled.",
    "5.7.20": "No valid DKIM signature was found.",
    "5.7.21": "No valid DKIM signature was found.",
    "5.7.22": "No DKIM signature is by the author's domain.",
    "5.7.23": "That server says that we may not send for the sender's domain (SPF).",
    "4.7.24": "That server could not check the sender's domain (SPF).",
    "5.7.25": "Our address has no name in DNS (PTR) that leads back to it. Ask whoever gave us the address.",
    "4.7.25": "Our address has no name in DNS (PTR) that leads back to it, or it could not be looked up.",
    "5.7.26": "None of SPF, DKIM and DMARC says that this mail is genuine.",
    "5.7.27": "The sender's domain says that it sends no mail (null MX, RFC 7505).",
    "5.7.28": "Too much mail from us for that server.",
    "4.7.28": "Too much mail from us for that server at the moment.",
    "5.7.30": "That server wants REQUIRETLS (RFC 8689), which is not possible.",
}  # fmt: skip
"""Replies of a next hop, by status."""
_BY_CODE: Final = {
    421: "That server ended the session: it is being stopped, is overloaded, or we are too much for it.",
    450: "The mailbox there cannot be used now. From a sender that a server does not know this is mostly greylisting.",
    451: "Something went wrong at that server, or it puts off senders that it does not know (greylisting).",
    452: "That server has not enough room, or takes no more recipients with one message.",
    454: "A login or TLS did not work at that server for the moment.",
    455: "That server cannot do with a parameter at the moment.",
    500: "That server did not understand what we said.",
    501: "That server did not understand what we said.",
    502: "That server does not have a command that we used.",
    503: "That server does not have a command that we used, or not at that point.",
    504: "That server does not know a parameter that we gave.",
    521: "That host takes no mail (RFC 7504).",
    530: "That server wants a login first.",
    535: "The login at that server is wrong.",
    550: "That address does not exist there, or a rule of that server refuses the mail.",
    551: "The recipient is not at that server; its words may say where.",
    552: "The mailbox is full, or the message larger than that server takes.",
    553: "That server does not take that address.",
    554: "That server refuses the mail or the connection by its rules.",
    555: "That server does not know a parameter that we gave.",
    556: "That domain takes no mail (RFC 7504).",
}
_BY_CLASS: Final = {
    "4": "That server does not take it now, and does not say why.",
    "5": "That server does not take it, and does not say why.",
}
_OURS: Final = {
    "4.4.1": "Nobody answers there: is it up, and may we connect to its port?",
    "4.4.2": "It was connected, and then silent for too long, or gone: is it overloaded, or a firewall in between?",
    "4.4.3": "DNS did not answer: is this machine's resolver up (/etc/resolv.conf), and the domain's own name servers?",
    "4.4.4": "There is no way to that host.",
    "5.4.4": "There is no way to that host.",
    "5.4.6": "Its mail servers are this server itself, which does not know the domain: add it to domains.local or as a "
    "[[relay_domain]], or mend its MX.",
    "4.4.6": "It goes in a circle.",
    "4.4.7": "It was tried for as long as queue.lifetime allows.",
    "5.4.7": "It was tried for as long as queue.lifetime allows.",
    "4.4.0": "It has not been its turn yet: others for the same next hop are before it.",
    "4.5.0": "What answers there does not speak SMTP as it should: is it the right port?",
    "5.1.1": "There is no such mailbox here any more (relay account list).",
    "5.1.2": "That domain does not exist or takes no mail.",
    "5.1.3": "The recipient's address cannot be one of a mailbox.",
    "5.1.10": "That domain says that it takes no mail (null MX, RFC 7505).",
    "4.2.2": "The mailbox here is full (mailbox.quota). Its owner can make room; until then it is tried again.",
    "5.2.2": "The mailbox here is full (mailbox.quota, mailbox.over_quota).",
    "4.3.0": "A fault on this machine, or in Relay (see the events in the log); nothing is lost.",
    "5.3.0": "The message was damaged on our disk; what can be read of it is in spool/corrupt.",
    "4.3.1": "The disk of this machine is full.",
    "5.3.4": "The message is larger than the next hop takes.",
    "5.6.3": "The next hop does not take 8-bit content.",
    "5.6.7": "The next hop does not do internationalised addresses (SMTPUTF8), which this message needs.",
    "5.7.1": "A script of the account refused it (docs/SIEVE.md).",
    "2.0.0": "An operator removed it (relay queue remove), or a script of the account discards such mail.",
}
"""What we found ourselves, without a reply, by status."""
_OURS_BY_CLASS: Final = {
    "4": "It could not be delivered for now.",
    "5": "It cannot be delivered.",
}


def of_our_reply(text: str) -> str:
    """What a refusal of ours with these words means, where they say more than its reason; empty otherwise."""
    for words, meaning in OUR_WORDS.items():
        if text.startswith(words):
            return meaning
    return ""


def of_our_status(status: str) -> str:
    """What a refusal of ours means of which only the status is known; empty for an unknown one."""
    return _OUR_STATUSES.get(status.partition(".")[2], "")


def of_outcome(fields: Fields) -> str:
    """What the outcome of a delivery, or the reason why an entry waits, means: ``outcome``, ``code`` (0 or absent
    without a reply), ``status``, ``text``. Empty for a delivery."""
    if fields.get("outcome") == "delivered":
        return ""
    code, status, text = int(fields.get("code") or 0), str(fields.get("status") or ""), str(fields.get("text") or "")
    kind = str(code)[:1] if code else status[:1]
    expired = f" {_OURS['4.4.7']}" if fields.get("outcome") == "expired" else ""
    if fields.get("transport") == "local" or not code:
        return (_OURS.get(status) or _OURS_BY_CLASS.get(kind, "")) + (expired if status != "4.4.7" else "")
    # A server may say 550 4.7.1, and we put 5.0.0 where it said no status: the code counts; the status says what about.
    status = f"{kind}.{status.partition('.')[2]}"
    for classes, pattern, meaning in _PATTERNS:
        if kind in classes and pattern.search(text, 0, _LONGEST):
            return meaning + expired
    return (_THERE.get(status) or _BY_CODE.get(code) or _BY_CLASS.get(kind, "")) + expired
