"""The metrics of the queue's side move when what they name happens, in the real appliance."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import dns.rcode

from tests.net.dns_server import Zone
from tests.support.appliance import Appliance, wait_for
from tests.support.dns import nameserver
from tests.support.sink import Sink
from tests.support.source import Source


def answer(stage: str, argument: str) -> str | None:
    local_part = argument.partition("@")[0]
    if stage == "rcpt" and local_part == "nobody":
        return "550 5.1.1 nobody here"
    return "450 4.2.0 later" if stage == "rcpt" and local_part == "later" else None


MOVED = (
    'relay_delivery_attempts_total{transport="local"}',
    'relay_delivery_attempts_total{transport="smtp"}',
    'relay_delivery_connections_total{result="failed"}',
    'relay_delivery_connections_total{result="opened"}',
    "relay_delivery_connections_reused_total",
    "relay_delivery_delay_seconds_count",
    'relay_delivery_failures_total{stage="connect"}',
    'relay_delivery_failures_total{stage="rcpt"}',
    "relay_delivery_mailbox_messages_total",
    "relay_delivery_mailbox_seconds_count",
    'relay_delivery_recipients_total{outcome="deferred"}',
    'relay_delivery_recipients_total{outcome="delivered"}',
    'relay_delivery_recipients_total{outcome="discarded"}',
    'relay_delivery_recipients_total{outcome="failed"}',
    'relay_delivery_replies_total{code="250"}',
    'relay_delivery_replies_total{code="450"}',
    'relay_delivery_sent_bytes_total{transport="smtp"}',
    'relay_delivery_stage_seconds_count{stage="connect"}',
    'relay_delivery_stage_seconds_count{stage="greeting"}',
    'relay_delivery_stage_seconds_count{stage="transfer"}',
    "relay_dns_cache_entries",
    "relay_dns_cache_hits_total",
    "relay_dns_query_seconds_count",
    'relay_dns_queries_total{result="empty"}',
    'relay_dns_queries_total{result="failed"}',
    'relay_dns_queries_total{result="found"}',
    'relay_dns_queries_total{result="not_found"}',
    'relay_dsn_messages_total{kind="bounce"}',
    'relay_dsn_messages_total{kind="delay"}',
    'relay_queue_added_entries_total{origin="new"}',
    'relay_queue_added_entries_total{origin="recovered"}',
    'relay_queue_age_entries{age="1m"}',
    'relay_queue_entries{state="deferred"}',
    'relay_queue_groups{state="suspended"}',
    "relay_queue_oldest_seconds",
    "relay_queue_suspensions_total",
    "relay_spool_batch_records_count",
    "relay_spool_free_bytes",
    "relay_spool_journal_compactions_total",
    'relay_spool_journal_entries_total{entry="deferred"}',
    'relay_spool_journal_entries_total{entry="failed"}',
    'relay_spool_journal_entries_total{entry="finished"}',
    'relay_spool_journal_entries_total{entry="held"}',
    'relay_spool_journal_entries_total{entry="notified"}',
    'relay_spool_journal_entries_total{entry="released"}',
    "relay_spool_journal_sync_seconds_count",
    'relay_spool_journal_syncs_total{result="synced"}',
    "relay_spool_journal_written_bytes_total",
    "relay_spool_records_total",
    "relay_spool_recovered_records_total",
    'relay_spool_segment_changes_total{action="created"}',
    'relay_spool_segments{state="open"}',
    'relay_spool_segments{state="spare"}',
    "relay_spool_sync_seconds_count",
    'relay_spool_syncs_total{result="synced"}',
    "relay_spool_written_bytes_total",
    'relay_supervisor_worker_deaths_total{cause="signal"}',
    'relay_supervisor_worker_restarts_total{role="delivery"}',
    "relay_worker_loop_lag_seconds_count",
)


def test_what_happens_is_counted(tmp_path: Path) -> None:
    zone = Zone(
        {
            ("found.test", "MX"): ["10 host.test."],
            ("host.test", "A"): ["127.0.0.11"],
            ("other.test", "MX"): ["10 host.test.", "20 backup.test."],
            ("fail.test", "MX"): dns.rcode.SERVFAIL,
        }
    )
    with nameserver(zone) as server, Sink(answer=answer) as near, Sink(address="127.0.0.11", answer=answer) as far:
        relay = Appliance(
            tmp_path,
            near.port,
            smtp_workers=1,
            segment_size="2MiB",
            expects=("worker lost",),
            more=(
                f'[delivery]\nmx_port = {far.port}\ndns_servers = ["{server}"]\n'
                '[queue]\nretry_first = "1h"\nretry_max = "1h"\ndelay_notice_after = "1s"\n'
                '[[relay_domain]]\ndomain = "dead.test"\nnext_hop = "smtp://127.0.0.1:1"\n'
            ),
        )
        relay.add_account("alice@local.test")
        with relay:
            relay.send(
                "later@relay.test",
                "nobody@relay.test",
                "x@found.test",
                "alice@local.test",
                "x@nowhere.test",
                sender="alice@local.test",
            )
            wait_for(lambda: relay.deliveries("x@found.test"), 10, "found")
            relay.send("x@dead.test", "later@found.test")
            relay.send("later@relay.test")
            wait_for(lambda: len(relay.queue()) == 4, 10, lambda: f"{relay.queue()}\n{relay.tail()}")
            source = Source(relay.smtp_port, sessions=2, messages=150, size=60_000)
            source.start()
            source.join(30)
            for operation in ("hold", "release"):
                relay.run("queue", operation, "--domain", "dead.test")
            relay.run("queue", "remove", "--domain", "found.test")
            (pid,) = [pid for pid, name in relay.workers().items() if name.startswith("delivery")]
            os.kill(pid, signal.SIGKILL)
            relay.send("x@fail.test", "y@found.test")
            wait_for(lambda: relay.deliveries("y@found.test"), 10, "delivered by the successor")
            relay.send("x@other.test")

            def unmoved() -> list[str]:
                values = relay.metrics()
                return [name for name in MOVED if not values[name]]

            wait_for(lambda: not unmoved(), 20, lambda: f"{unmoved()}\n{relay.tail(5)}")
