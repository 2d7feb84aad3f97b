"""What a run is to do, checked: sizes, addresses, stages, and the frozen records that the machines are built from.

Pure: texts in, values out. ValueError with a text for the person at the command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Protocol = Literal["smtp", "lmtp"]
Tls = Literal["none", "starttls", "implicit"]
Dialogue = Literal["lock-step", "grouped", "pipelined", "streamed"]
Mechanism = Literal["plain", "login", "scram-sha-256"]

STAGES: Final = ("greeting", "helo", "mail", "rcpt", "data", "content")
"""At which a sink can be told to misbehave."""

MIX: Final = "2KiB:22,5KiB:25,12KiB:22,30KiB:15,75KiB:10,250KiB:4.5,1MiB:1.2,5MiB:0.3"
"""A realistic mix: most mail is small and most octets are in few messages; the mean is about 55 KiB."""

SMALLEST: Final = 400
"""Octets: room for the mark, the header fields that no server should have to add, and a line of body."""

LARGEST: Final = 64 * 1024 * 1024

_UNITS: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}


@dataclass(frozen=True)
class GeneratePlan:
    """All that a generator is told; the command line has one option for each, of the same name."""

    server: str
    protocol: Protocol = "smtp"
    messages: int = 10_000
    duration: float | None = None
    sessions: int = 50
    opening: int = 200
    messages_per_connection: int = 0
    dialogue: Dialogue = "pipelined"
    in_flight: int = 8
    bdat: bool = False
    size: str = "1KiB"
    recipients: int = 1
    recipient: tuple[str, ...] = ("r{r}@relay.test",)
    sender: str = "load@source.test"
    rate: float | None = None
    warm_up: float = 0.0
    tls: Tls = "none"
    resumption: bool = True
    ca: Path | None = None
    account: str | None = None
    mechanism: Mechanism = "plain"
    hold: float = 0.0
    timeout: float = 30.0
    time_limit: float = 600.0
    ledger: Path | None = None
    run: str | None = None
    control: str | None = None
    allow_remote: bool = False


@dataclass(frozen=True)
class SinkPlan:
    """All that a sink is told; the command line has one option for each, of the same name."""

    listen: str
    protocol: Protocol = "smtp"
    by_address: bool = True
    refuse: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    tarpit: float = 0.0
    max_connections: int | None = None
    pipelining: bool = True
    chunking: bool = True
    eight_bit: bool = True
    tls: Tls = "none"
    certificate: Path | None = None
    key: Path | None = None
    account: tuple[str, ...] = ()
    verify: bool = False
    ledger: Path | None = None
    messages: int | None = None
    time_limit: float = 600.0
    seed: int = 1
    control: str | None = None
    allow_remote: bool = False


def parse_size(text: str) -> int:
    """``"10KiB"`` in octets."""
    match = re.fullmatch(r"(\d+)\s*(B|KiB|MiB)?", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write for instance 1000, 10KiB or 1MiB")
    octets = int(match[1]) * _UNITS[match[2] or ""]
    if not SMALLEST <= octets <= LARGEST:
        raise ValueError(f"{text!r}: a message has {SMALLEST} octets to {LARGEST // 1024**2} MiB here")
    return octets


def parse_sizes(text: str) -> list[tuple[int, float]]:
    """``"1KiB:60,20KiB:40"``, ``"10KiB"`` or ``"mix"`` as octets with weights that add up to 1."""
    sizes = []
    for item in (MIX if text == "mix" else text).split(","):
        size, colon, weight = item.partition(":")
        sizes.append((parse_size(size), _number(weight, "weight") if colon else 1.0))
    total = sum(weight for _, weight in sizes)
    if total <= 0:
        raise ValueError(f"{text!r}: the weights add up to nothing")
    return [(size, weight / total) for size, weight in sizes]


AddressPart = bytes | tuple[Literal["r", "n"], int]


def parse_template(text: str) -> tuple[AddressPart, ...]:
    """``"r{r}@d{n%100}.test"`` as its pieces: octets, or (variable, modulus; 0: none)."""
    parts: list[AddressPart] = []
    for literal, variable, modulus in re.findall(r"([^{}]+)|\{([rn])(?:%([1-9]\d{0,8}))?\}|[{}]", text):
        if literal:
            parts.append(literal.encode())
        elif variable:
            parts.append(("r" if variable == "r" else "n", int(modulus or 0)))
        else:
            raise ValueError(f"{text!r}: only {{r}}, {{n}}, {{r%K}} and {{n%K}} may stand in braces")
    if not re.fullmatch(r"[^\s<>]+@[^\s<>@]+", text):
        raise ValueError(f"{text!r} is not an address")
    if len(text) > 200:
        raise ValueError(f"{text!r} is too long")
    return tuple(parts)


def parse_stages(texts: tuple[str, ...]) -> dict[str, str]:
    """``("mail=450", "rcpt=0.1")`` by stage; a stage once only."""
    found: dict[str, str] = {}
    for text in texts:
        stage, _, value = text.partition("=")
        if stage not in STAGES or stage in found:
            raise ValueError(f"{text!r}: a stage is one of {', '.join(STAGES)}, and each may be given once")
        found[stage] = value
    return found


def parse_refusals(texts: tuple[str, ...]) -> dict[str, tuple[int, float]]:
    """``("rcpt=451:0.1",)``: reply code and share by stage."""
    found = {}
    for stage, value in parse_stages(texts).items():
        code, colon, share = value.partition(":")
        if not re.fullmatch(r"[45]\d\d", code):
            raise ValueError(f"{stage}={value}: a refusal has a reply code between 400 and 599")
        found[stage] = (int(code), _share(share) if colon else 1.0)
    return found


def parse_delays(texts: tuple[str, ...]) -> dict[str, float]:
    """``("content=0.05",)``: seconds by stage."""
    return {stage: _number(value, "number of seconds") for stage, value in parse_stages(texts).items()}


def parse_drops(texts: tuple[str, ...]) -> dict[str, float]:
    """``("content:0.01", "mail")``: share by stage."""
    return {
        stage: _share(value) if value else 1.0
        for stage, value in parse_stages(tuple(text.replace(":", "=", 1) for text in texts)).items()
    }


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise ValueError(f"{text!r} is not a {what}")
    return number


def _share(text: str) -> float:
    share = _number(text, "share")
    if share > 1:
        raise ValueError(f"{text!r}: a share is between 0 and 1")
    return share
