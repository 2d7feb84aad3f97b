"""Facts: what follows from messages, kept for every process."""

from relay.mailbox.message_cache import Facts


def test_a_run_of_facts_is_what_they_are_one_by_one(tmp_path):
    """Also where a value is longer than a block, is damaged, or is not there."""
    facts = Facts(tmp_path)
    facts.bind(1, 2)
    values = {uid: bytes([uid % 251]) * length for uid, length in enumerate((5, 0, 3000, 40_000, 65_536, 7, 30_000), 1)}
    for uid, value in values.items():
        facts.put(uid, 16, value)
    uids = [3, 1, 99, 4, 5, 2, 7, 6]
    expected = [values.get(uid) for uid in uids]
    assert facts.get_run(uids, 16) == [facts.get(uid, 16) for uid in uids] == expected
    octets = (tmp_path / "relay-facts").read_bytes()
    at = octets.index(values[3]) + 10
    (tmp_path / "relay-facts").write_bytes(octets[:at] + b"x" + octets[at + 1 :])
    expected[0] = None
    assert facts.get_run(uids, 16) == [facts.get(uid, 16) for uid in uids] == expected
    assert facts.get_run([], 16) == []
    assert facts.get_run([1, 2], 17) == [None, None]
