"""Which passwords people may choose."""

import pytest

from relay.auth.passwords import COMMON, weakness

ADDRESS = "alice.miller@mail.example.org"


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("x", "has 1 characters"),
        ("7 chars", "has 7 characters"),
        ("password", "tried first"),
        ("Password1!", "tried first"),
        ("PASSWORD2026", "tried first"),
        ("passwordpassword", "tried first"),
        ("1q2w3e4r5t", "tried first"),
        ("letmein!!!", "tried first"),
        ("\uff50assword", "tried first"),
        (ADDRESS, "account's name"),
        ("Alice.Miller", "account's name"),
        ("alicemiller1", "account's name"),
        ("mail.example.org", "account's name"),
        ("aaaaaaaa", "row"),
        ("ababababab", "row"),
        ("12345678", "row"),
        ("87654321", "row"),
        ("abcdefgh", "row"),
        ("abcd1234", "row"),
        ("qwertyuiop", "row"),
        ("asdfghjkl", "row"),
        ("20261201", "row"),
        ("        ", "row"),
    ],
)
def test_what_is_guessed_first_is_refused(password, why):
    assert why in weakness(password, ADDRESS)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "correct-horse",
        "Tr0ub4dor&3",
        "wonderland",
        "alice in chains",
        "пароль-для-почты",
        "3dogs&2cats",
        "zwölf Bäume",
    ],
)
def test_others_are_not(password):
    assert weakness(password, ADDRESS) == ""


def test_the_list_is_in_the_form_in_which_it_is_looked_up():
    assert all(word == word.casefold() for word in COMMON)
