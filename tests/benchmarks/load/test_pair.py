"""The generator and the sink against each other, as processes: small runs in every way of sending."""

import smtplib
import socket
import subprocess
import threading

import pytest

from benchmarks.load._mark import mark
from tests.benchmarks.load.stand import COMMAND, ROOT, ask, generate, run, sink
from tests.support.appliance import free_port

WAYS = {
    "lock-step": ("--dialogue", "lock-step"),
    "grouped": ("--dialogue", "grouped"),
    "pipelined": ("--dialogue", "pipelined"),
    "streamed": ("--dialogue", "streamed", "--in-flight", 5),
    "streamed in BDAT": ("--dialogue", "streamed", "--bdat"),
}


def account(tmp_path):
    code, result, errors = run("account", "--sent", tmp_path / "sent", "--received", tmp_path / "received")
    assert result, errors
    assert code == any(result[fault] for fault in ("lost", "doubled", "misdirected", "altered"))
    return result


def assert_nothing_is_wrong(result):
    faults = ("lost", "doubled", "misdirected", "altered", "refused_delivered", "unknown")
    assert {fault: result[fault] for fault in faults} == dict.fromkeys(faults, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("protocol", "per_connection"), [("smtp", 0), ("smtp", 1), ("smtp", 3), ("lmtp", 0)])
def test_every_message_arrives_once_and_unaltered(tmp_path, way, protocol, per_connection):
    with sink("--protocol", protocol, "--verify", "--ledger", tmp_path / "received") as running:
        result = generate(
            running.address, "--protocol", protocol, *WAYS[way], "--messages", 300, "--sessions", 5, "--recipients", 3,
            "--size", "500:3,3KiB:2,100KiB:1", "--messages-per-connection", per_connection,
            "--ledger", tmp_path / "sent",
        )  # fmt: skip
    assert result["messages"]["accepted"] == 300
    assert result["recipients"] == {"accepted": 900, "refused": 0}
    assert result["errors"] == {}
    assert result["accept_seconds"]["count"] == result["transaction_seconds"]["count"] == 300
    opened = result["connections"]["opened"]
    assert 300 / per_connection <= opened < 300 / per_connection + 5 if per_connection else opened == 5
    assert result["connections"]["most_open"] <= 5
    totals = running.totals
    assert (totals["messages"], totals["recipients"], totals["octets"]) == (300, 900, result["octets"])
    assert (totals["altered"], totals["foreign"], totals["connections"]["lost"]) == (0, 0, 0)
    assert totals["connections"]["opened"] == result["connections"]["opened"]
    assert totals["runs"][result["run"]]["missing"] == 0
    counts = account(tmp_path)
    assert_nothing_is_wrong(counts)
    assert counts["delivered"] == counts["accepted"] == 900


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("protocol", ["smtp", "lmtp"])
def test_refusals_at_every_stage_are_counted_and_nothing_is_lost(tmp_path, way, protocol):
    refusals = ["--refuse", "mail=451:0.1", "--refuse", "rcpt=550:0.3", "--refuse", "content=452:0.2"]
    if "streamed" not in way:
        refusals += ["--refuse", "data=451:0.1"]
    with sink("--protocol", protocol, "--verify", "--ledger", tmp_path / "received", *refusals) as running:
        result = generate(
            running.address, "--protocol", protocol, *WAYS[way], "--messages", 300, "--sessions", 5, "--recipients", 3,
            "--ledger", tmp_path / "sent",
        )  # fmt: skip
    counts = account(tmp_path)
    assert_nothing_is_wrong(counts)
    assert running.totals["messages"] - result["messages"]["unsure"] <= result["messages"]["accepted"]
    assert 20 < result["messages"]["accepted"] <= running.totals["messages"]
    assert result["messages"]["refused"] > 20
    assert counts["delivered"] == running.totals["recipients"]
    if way != "streamed":  # there a refused DATA leaves both out of step, and the connection has to go
        assert result["messages"]["unsure"] == result["messages"]["broken"] == 0
        assert result["recipients"]["accepted"] == counts["delivered"]
        assert result["recipients"]["accepted"] + result["recipients"]["refused"] == 900
    assert result["errors"]["rcpt 550"] > 100
    assert result["errors"]["mail 451"] > 5


@pytest.mark.parametrize("way", ["lock-step", "pipelined", "streamed in BDAT"])
def test_connections_that_break_are_opened_again_and_leave_nothing_unexplained(tmp_path, way):
    drops = ["--drop", "rcpt:0.05", "--drop", "content:0.05", "--drop", "greeting:0.2"]
    with sink("--verify", "--ledger", tmp_path / "received", *drops) as running:
        result = generate(
            running.address, *WAYS[way], "--messages", 200, "--sessions", 5, "--ledger", tmp_path / "sent"
        )
    messages = result["messages"]
    assert messages["accepted"] > 50
    assert messages["broken"] > 0 or "streamed" in way  # there every content is begun at once
    assert messages["unsure"] > 0
    assert messages["unsure"] == result["errors"]["lost in content"]
    assert result["connections"]["opened"] > 10
    counts = account(tmp_path)
    assert_nothing_is_wrong(counts)
    # This sink counts nothing that it did not answer; but answers can be lost on their way.
    assert running.totals["messages"] == messages["accepted"] + counts["unsure_delivered"]


@pytest.mark.parametrize("code", [421, 451, 554])
def test_a_refused_greeting_ends_the_connection(code):
    with sink("--refuse", f"greeting={code}") as running:
        result = generate(running.address, "--messages", 1, "--sessions", 1, "--timeout", 0.2)
    assert result["ended"] == "unreachable"
    assert result["errors"].keys() == {f"greeting {code}"}
    assert running.totals["replies"]["greeting"].keys() == {str(code)}
    assert running.totals["connections"]["open"] == running.totals["connections"]["lost"] == 0


def test_recipients_fail_by_address(tmp_path):
    templates = ("tempfail{n}@a.test", "permfail@a.test", "tempcontent@a.test", "permcontent@a.test", "r{n}@a.test")
    with sink("--ledger", tmp_path / "received") as running:
        result = generate(
            running.address, "--messages", 100, "--ledger", tmp_path / "sent", "--sessions", 3,
            *(word for template in templates for word in ("--recipient", template)),
        )  # fmt: skip
    assert result["messages"]["accepted"] == 20
    assert result["errors"] == {"rcpt 451": 20, "rcpt 550": 20, "content 451": 20, "content 554": 20}
    assert_nothing_is_wrong(account(tmp_path))


def test_a_recipient_drop_closes_and_by_address_can_be_turned_off():
    with sink() as running:
        result = generate(running.address, "--messages", 4, "--sessions", 1, "--recipient", "drop@a.test")
    assert result["messages"]["broken"] == 4
    assert running.totals["connections"]["dropped"] >= 4
    with sink("--no-by-address") as running:
        assert generate(running.address, "--messages", 4, "--recipient", "drop@a.test")["messages"]["accepted"] == 4


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=sink.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    try:
        subprocess.run([*command, *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return folder


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
@pytest.mark.parametrize("way", ["lock-step", "pipelined"])
def test_tls_sessions_are_resumed(certificate, kind, way):
    files = ("--certificate", certificate / "certificate", "--key", certificate / "key")
    plan = ("--tls", kind, *WAYS[way], "--messages", 40, "--sessions", 2, "--size", "20KiB")
    with sink("--tls", kind, "--verify", *files) as running:
        new = generate(running.address, *plan, "--messages-per-connection", 1, "--no-resumption")
        again = generate(running.address, *plan, "--messages-per-connection", 1, "--ca", certificate / "certificate")
        kept = generate(running.address, *plan)
    assert [result["messages"]["accepted"] for result in (new, again, kept)] == [40, 40, 40]
    assert [result["connections"]["handshakes"] for result in (new, again, kept)] == [40, 40, 2]
    assert new["connections"]["resumed"] == 0
    assert again["connections"]["resumed"] == 38  # all but the first of each of two at a time
    assert running.totals["connections"]["resumed"] == 38
    assert running.totals["altered"] == 0


def test_a_certificate_that_is_not_trusted_ends_the_handshake(certificate, tmp_path):
    other = tmp_path / "ca.pem"
    other.write_bytes((certificate / "certificate").read_bytes())
    files = ("--certificate", certificate / "certificate", "--key", certificate / "key")
    with sink("--tls", "implicit", *files) as running:
        port = running.address.rpartition(":")[2]
        result = generate(
            f"localhost:{port}", "--tls", "implicit", "--ca", other, "--messages", 1, "--sessions", 1, "--duration", 1,
            "--messages-per-connection", 1, "--time-limit", 1,
        )  # fmt: skip
    # The certificate is for 127.0.0.1, not for the name.
    assert result["messages"]["accepted"] == 0
    assert result["errors"]["lost in tls"] > 0


def test_auth_plain():
    with sink("--account", "name:secret") as running:
        right = generate(running.address, "--account", "name:secret", "--messages", 5, "--sessions", 2)
        wrong = generate(running.address, "--account", "name:wrong", "--messages", 5, "--sessions", 2, "--timeout", 0.3)
    assert right["messages"]["accepted"] == 5
    assert right["replies"]["auth"] == {"235": 2}
    assert wrong["messages"]["offered"] == 0
    assert wrong["errors"]["auth 535"] > 0
    assert "secret" not in str(right)


def test_a_fixed_rate_counts_from_when_a_message_was_due():
    """Coordinated omission: 20 messages due within 20 ms at a server that takes 20 ms for each."""
    with sink("--slow", "content=0.02") as running:
        result = generate(running.address, "--rate", 1000, "--messages", 20, "--sessions", 1, "--dialogue", "grouped")
    assert result["messages"]["accepted"] == 20
    assert result["accept_seconds"]["max"] > 19 * 0.02 - 0.02
    assert result["accept_seconds"]["p50"] > 5 * 0.02
    # Alone, each took what the server takes; the corrected figure has the wait of all before it.
    assert result["uncorrected"]["accept_seconds"]["mean"] < result["accept_seconds"]["mean"] / 2


@pytest.mark.parametrize("per_connection", [0, 1])
def test_a_fixed_rate_is_not_exceeded(per_connection):
    with sink() as running:
        result = generate(running.address, "--rate", 200, "--messages", 40, "--messages-per-connection", per_connection)
    assert result["messages"]["accepted"] == 40
    assert result["elapsed_seconds"] >= 39 / 200


def test_too_many_connections_are_turned_away():
    with sink("--max-connections", 2) as running:
        result = generate(running.address, "--sessions", 4, "--messages", 50)
    assert result["messages"]["accepted"] == 50
    assert result["errors"]["greeting 421"] >= 2
    assert running.totals["connections"]["turned_away"] >= 2


def test_a_tarpit_answers_octet_by_octet():
    with sink("--tarpit", 0.001) as running:
        result = generate(running.address, "--messages", 1, "--sessions", 1, "--dialogue", "lock-step")
    assert result["messages"]["accepted"] == 1
    octets = len("250 2.0.0 Ok\r\n")
    assert result["accept_seconds"]["min"] > octets * 0.001


@pytest.mark.parametrize("way", ["grouped", "streamed"])
def test_slow_replies_keep_a_pipelining_client_in_step(way):
    with sink("--verify", "--slow", "mail=0.002", "--slow", "content=0.001") as running:
        result = generate(
            running.address, *WAYS[way], "--messages", 20, "--sessions", 2, "--size", "300KiB",
            "--recipient", "r@a.test",
        )  # fmt: skip
    assert result["messages"]["accepted"] == 20
    assert running.totals["altered"] == 0


def test_the_control_socket_tells_the_totals_resets_and_stops():
    with sink() as running:
        generate(running.address, "--messages", 10)
        before = ask(running.control, "totals")
        assert (before["ended"], before["messages"]) == (None, 10)
        assert ask(running.control, "reset")["messages"] == 10
        generate(running.address, "--messages", 3)
        assert "error" in ask(running.control, "dance")
        last = ask(running.control, "stop")
        assert (last["ended"], last["messages"]) == ("stop", 3)
        assert running.process.wait(10) == 0
    assert running.totals["messages"] == 3


def test_a_sink_ends_after_so_many_messages(tmp_path):
    with sink("--messages", 5, listen=f"unix:{tmp_path}/socket") as running:
        result = generate(running.address, "--messages", 5, "--sessions", 1)
        assert running.process.wait(10) == 0
    assert result["messages"]["accepted"] == 5
    assert running.totals["ended"] == "messages"


def test_sessions_can_be_held_open_and_idle():
    control = f"127.0.0.1:{free_port()}"
    command = [
        *COMMAND,
        "generate",
        "--messages",
        "0",
        "--sessions",
        "300",
        "--hold",
        "30",
        "--control",
        control,
        "--json",
    ]
    with (
        sink() as running,
        subprocess.Popen([*command, "--server", running.address], cwd=ROOT, stdout=subprocess.PIPE) as process,
    ):
        while ask(running.control, "totals")["replies"].get("helo") != {"250": 300}:
            assert process.poll() is None
        assert ask(control, "stop")["connections"]["open"] == 300
        assert process.wait(10) == 0
    assert running.totals["connections"]["most_open"] == 300
    assert running.totals["replies"]["quit"] == {"221": 300}


def test_a_signal_ends_a_run_with_its_result():
    with sink("--slow", "content=0.05") as running:
        command = [*COMMAND, "generate", "--server", running.address, "--sessions", "1", "--json"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            while ask(running.control, "totals")["messages"] < 2:
                assert process.poll() is None
            process.terminate()
            out, _ = process.communicate(timeout=10)
            assert process.returncode == 1
    assert '"ended": "signal"' in out


def test_a_silent_server_costs_its_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        result = generate(server, "--timeout", 0.4, "--messages-per-connection", 1, "--sessions", 2)
    assert result["ended"] == "unreachable"
    assert result["errors"]["timeout in greeting"] == 2
    assert result["messages"]["broken"] == result["messages"]["offered"] == 2


def test_the_time_limit_ends_everything():
    with sink("--slow", "content=20") as running:
        code, result, _ = run("generate", "--server", running.address, "--json", "--time-limit", 0.5,
                              "--sessions", 2, "--dialogue", "grouped")  # fmt: skip
    assert (code, result["ended"]) == (1, "time limit")
    assert result["errors"] == {"time limit in content": 2}
    assert result["messages"]["unsure"] == result["messages"]["offered"] == 2
    code, _, _ = run("sink", "--listen", "127.0.0.1:0", "--time-limit", 0.1)
    assert code == 0


def test_a_server_that_is_not_there_ends_the_run():
    code, result, _ = run("generate", "--server", f"127.0.0.1:{free_port()}", "--json", "--timeout", 0.3)
    assert code == 1
    assert result["ended"] == "unreachable"
    assert result["errors"]["connect ECONNREFUSED"] > 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("generate", "--server", "192.0.2.1:25"), "loopback"),
        (("generate", "--server", "127.0.0.1:25", "--size", "1"), "octets"),
        (("generate", "--server", "127.0.0.1:25", "--bdat"), "streamed"),
        (("generate", "--server", "127.0.0.1:25", "--run", "1"), "hexadecimal"),
        (("sink", "--listen", "0.0.0.0:0"), "loopback"),
        (("sink", "--listen", "127.0.0.1:0", "--tls", "starttls"), "certificate"),
        (("account", "--sent", __file__, "--received", __file__), "ledger"),
    ],
)
def test_wrong_usage_says_what_is_wrong(words, text):
    code, result, errors = run(*words)
    assert (code, result) == (2, {})
    assert text in errors


def test_pipelining_is_not_pretended():
    with sink("--no-pipelining") as running:
        code, _, errors = run("generate", "--server", running.address, "--json")
        assert code == 2
        assert "PIPELINING" in errors
        assert generate(running.address, "--dialogue", "lock-step", "--messages", 5)["messages"]["accepted"] == 5


def test_altered_doubled_and_foreign_messages_are_told_apart():
    """Written by the standard library's client, so that the sink is not only tested by its own other half."""
    body = b"Subject: x\r\n\r\n.text\r\n"
    with sink("--verify") as running:
        host, port = running.address.split(":")
        with smtplib.SMTP(host, int(port)) as client:
            client.sendmail("a@b.test", ["r0@x.test"], mark(1, 0, 1, body) + body)
            client.sendmail("a@b.test", ["r0@x.test"], b"Received: from x\r\n" + mark(1, 1, 1, body) + body)
            client.sendmail("a@b.test", ["r0@x.test"], mark(1, 2, 1, body) + body.replace(b"text", b"test"))
            client.sendmail("a@b.test", ["r0@x.test"], mark(1, 3, 1, body) + body + b"more\r\n")
            client.sendmail("a@b.test", ["r0@x.test"], mark(1, 1, 1, body) + body)
            client.sendmail("a@b.test", ["r0@x.test", "r1@x.test"], mark(1, 6, 2, body) + body)
            client.sendmail("a@b.test", ["r0@x.test"], body)
    totals = running.totals
    assert (totals["messages"], totals["recipients"], totals["foreign"], totals["altered"]) == (7, 8, 1, 2)
    assert totals["runs"]["0000000000000001"] == {
        "messages": 5, "recipients": 7, "doubled": 1, "altered": 2, "missing": 2, "highest": 6
    }  # fmt: skip


def test_replies_of_a_server_in_pieces_are_understood():
    """A server that sends its replies octet by octet, and several lines at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=_speak_in_pieces, args=(listener,))
        server.start()
        port = listener.getsockname()[1]
        result = generate(f"127.0.0.1:{port}", "--messages", 1, "--sessions", 1, "--dialogue", "lock-step")
        server.join(10)
    assert result["messages"]["accepted"] == 1
    assert result["replies"]["content"] == {"250": 1}


def _speak_in_pieces(listener):
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = connection.makefile("rb")
    opening = [b"220-hello\r\n220 there\r\n", b"250-one\r\n250-SIZE 9\r\n250 two\r\n"]
    replies = [*opening, b"250 ok\r\n", b"250-ok\r\n250 ok\r\n", b"354\r\n"]
    with connection:
        for reply in replies:
            for at in range(len(reply)):
                connection.sendall(reply[at : at + 1])
            lines.readline()
        while lines.readline() != b".\r\n":
            pass
        connection.sendall(b"250 ok\r\n")
        assert lines.readline() == b"QUIT\r\n"
        connection.sendall(b"221 bye\r\n")
