"""Facts of a session and of its transactions."""

from relay.policy.facts import Fact, Facts

NAME = Fact[str]("name", str)
SCORE = Fact[float]("score", "{:.1f}".format)
HIDDEN = Fact[bytes]("hidden")


def test_a_transaction_reads_what_its_session_knows_and_keeps_its_own():
    session = Facts()
    session.put(NAME, "a")
    transaction, next_one = Facts(session), Facts(session)
    transaction.put(SCORE, 1.25)
    assert (transaction.get(NAME), transaction.get(SCORE)) == ("a", 1.25)
    assert (session.get(SCORE), next_one.get(SCORE)) == (None, None)
    transaction.put(NAME, "b")
    assert (transaction.get(NAME), session.get(NAME), next_one.get(NAME)) == ("b", "a", "a")


def test_what_is_shown_is_what_has_a_text():
    session = Facts()
    assert not session
    session.put(NAME, "a")
    transaction = Facts(session)
    transaction.put(SCORE, 1.25)
    transaction.put(HIDDEN, b"x")
    assert transaction.shown() == ["name=a", "score=1.2"]
    assert transaction
