"""The spool: the only place that makes a message durable (docs/SPOOL.md).

Writing:  lock_data_dir -> LogWriter.append -> waiter.spooled(None)
Reading:  list_logs -> Tail.advance / Tail.rest -> Record;  LogReader.load -> Message
Outcomes: load_journals, Journal;  finished segments go back by LogWriter.finished or adopt(...).finished
"""

from relay.spool.adopted import AdoptedLog, adopt
from relay.spool.errors import SpoolError
from relay.spool.folder import DataLock, all_segments, is_owned, is_running, list_logs, lock_data_dir
from relay.spool.interfaces import SpoolSettings, Waiter
from relay.spool.journal import Journal, load_journals
from relay.spool.large import LargeContent
from relay.spool.reader import Damage, LargeFile, LogReader, Message, MissingRecord, Record, Tail
from relay.spool.verify import Finding, dump, verify
from relay.spool.writer import LogWriter

__all__ = [
    "AdoptedLog",
    "Damage",
    "DataLock",
    "Finding",
    "Journal",
    "LargeContent",
    "LargeFile",
    "LogReader",
    "LogWriter",
    "Message",
    "MissingRecord",
    "Record",
    "SpoolError",
    "SpoolSettings",
    "Tail",
    "Waiter",
    "adopt",
    "all_segments",
    "dump",
    "is_owned",
    "is_running",
    "list_logs",
    "load_journals",
    "lock_data_dir",
    "verify",
]
