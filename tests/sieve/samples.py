"""Messages and tests that both Relay and Pigeonhole are asked about."""

from __future__ import annotations

from typing import Final

MESSAGES: Final = {
    "plain": (
        b'From: "Doe, John" <john.doe+tag@Example.COM>\r\n'
        b"To: ann+lists.dev@local.test, Bob B. <bob@other.test>\r\n"
        b"Cc: group: a@b.c, (comment) d@e.f;\r\n"
        b"Subject: Re: [dev] Hello   World?\r\n"
        b"Date: Tue, 01 Apr 2014 09:06:31 -0700\r\n"
        b"Message-ID: <1@example.com>\r\n"
        b"X-Priority: 3\r\n"
        b"X-Multi: one\r\n"
        b"X-Multi: two\r\n"
        b"X-Empty:\r\n"
        b"Received: from a by b for c; Wed, 02 Apr 2014 01:00:00 +0200\r\n"
        b"Received: from d by e; Mon, 31 Mar 2014 23:59:59 +0000\r\n"
        b"\r\n"
        b"Dear Ann,\r\nthe project is late.\r\n"
    ),
    "mime": (
        b"From: =?utf-8?q?J=C3=BCrgen?= <jurgen@example.org>\r\n"
        b"To: ann@local.test\r\n"
        b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?B?IGF1cyBL?=\r\n =?utf-8?B?w7ZsbiE=?=\r\n"
        b"Date: Fri, 29 Feb 2008 23:30:00 +0100\r\n"
        b"X-Spam-Flag: YES\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b1"\r\n'
        b"\r\n"
        b"prologue\r\n"
        b"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        b"R2Vow7ZydCBkYXMgZGlyPw==\r\n"
        b"--b1\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"<b>bo=\r\nld</b>\r\n"
        b"--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner secret\r\n\r\ninner body\r\n"
        b"--b1\r\nContent-Type: application/x-thing\r\n\r\nthing words\r\n"
        b"--b1--\r\nepilogue\r\n"
    ),
    "odd": (
        b"From: undisclosed\r\n"
        b"To: <ann@local.test>\r\n"
        b"Subject:folded\r\n\tvalue\r\n"
        b"Date: garbage\r\n"
        b'X-Quoted: "a b"@c.d\r\n'
        b'Reply-To: "a b"@c.d, x @ y . z\r\n'
        b"\r\n"
        b"No body\r\n"
    ),
}

REQUIRE: Final = (
    "fileinto", "envelope", "subaddress", "copy", "imap4flags", "body", "date", "index", "relational", "variables",
    "comparator-i;ascii-numeric", "mailbox",
)  # fmt: skip

TESTS: Final = (
    "true", "false", "not true", "allof (true, false)", "anyof (false, true)", "not anyof (false, false)",
    'header :is "subject" "Re: [dev] Hello   World?"',
    'header "subject" "re: [DEV] hello   world?"',
    'header :comparator "i;octet" "subject" "re: [DEV] hello   world?"',
    'header :contains "Subject" ["zzz", "DEV"]',
    'header :contains "subject" ""',
    'header :contains "x-none" ""',
    'header :contains "x-empty" ""',
    'header :is "x-empty" ""',
    'header :matches "subject" "*[*]*"',
    'header :matches "subject" "Re: ?dev? *"',
    'header :matches "subject" "Re:*World\\\\?"',
    'header :matches "subject" "*World?"',
    'header :matches "subject" "?*?*?*"',
    'header :matches "subject" "**********!"',
    'header :matches "x-empty" "*"',
    'header :matches "x-empty" "?"',
    'header :matches :comparator "i;octet" "subject" "RE*"',
    'header :is "x-multi" "two"',
    'header :index 1 :is "x-multi" "two"',
    'header :index 2 :is "x-multi" "two"',
    'header :index 1 :last :is "x-multi" "two"',
    'header :index 3 :is "x-multi" "two"',
    'header :count "eq" :comparator "i;ascii-numeric" "x-multi" "2"',
    'header :count "ge" :comparator "i;ascii-numeric" ["x-multi", "received"] ["4"]',
    'header :count "lt" :comparator "i;ascii-numeric" "x-none" "1"',
    'header :value "gt" :comparator "i;ascii-numeric" "x-priority" "2"',
    'header :value "gt" :comparator "i;ascii-numeric" "x-priority" "10"',
    'header :value "gt" "x-priority" "10"',
    'header :value "lt" :comparator "i;ascii-numeric" "subject" "10"',
    'header :value "eq" :comparator "i;ascii-numeric" "x-priority" "003 apples"',
    'header :is :comparator "i;ascii-numeric" "x-priority" "03"',
    'header :contains "subject" "Grüße aus Köln!"',
    'header :is "subject" "folded value"',
    'header :is "subject" "folded\tvalue"',
    'address :is "from" "john.doe+tag@example.com"',
    'address :is :all "from" "John Doe"',
    'address :localpart :is "from" "john.doe+tag"',
    'address :domain :is "from" "EXAMPLE.com"',
    'address :user "from" "john.doe"',
    'address :detail "from" "tag"',
    'address :detail :is "to" "lists.dev"',
    'address :detail :is "to" ""',
    'address :detail :matches "to" "*"',
    'address :domain :matches "to" "other.*"',
    'address :is "cc" "d@e.f"',
    'address :is "cc" "a@b.c"',
    'address :count "eq" :comparator "i;ascii-numeric" "cc" "2"',
    'address :count "eq" :comparator "i;ascii-numeric" ["to", "cc"] "4"',
    'address :localpart "reply-to" "a b"',
    'address :all "to" "ann@local.test"',
    'address :contains "from" ""',
    'envelope "from" "sender@source.test"',
    'envelope :domain :is "from" "SOURCE.test"',
    'envelope :localpart "to" "ann+box"',
    'envelope :user "to" "ann"',
    'envelope :detail "to" "box"',
    'envelope :detail "from" ""',
    'envelope :contains ["from", "to"] "box"',
    'exists "subject"', 'exists ["subject", "x-multi"]', 'exists ["subject", "x-none"]', 'exists "x-empty"',
    "size :over 1", "size :under 1K", "size :over 1K", "size :over 1M", "size :under 1",
    'body :contains "project"', 'body :raw :contains "project"', 'body :contains "Gehört das dir"',
    'body :raw :contains "R2Vow"', 'body :contains "bold"', 'body :raw :contains "bo="',
    'body :content "text" :contains "bold"', 'body :content "text/html" :contains "bold"',
    'body :content "text/plain" :contains "bold"', 'body :content "application" :contains "thing words"',
    'body :content "message" :contains "secret"', 'body :content "message/rfc822" :contains "inner body"',
    'body :content "multipart" :contains "prologue"', 'body :content "multipart" :contains "epilogue"',
    'body :content "" :contains "thing words"', 'body :content "text" :matches "*das*"',
    'body :raw :contains "PROLOGUE"', 'body :contains "zzz"', 'body :content "image" :contains ""',
    'date :is "date" "year" "2014"', 'date :originalzone :is "date" "hour" "09"',
    'date :zone "+0000" :is "date" "hour" "16"', 'date :zone "+0200" :is "date" "time" "18:06:31"',
    'date :originalzone "date" "iso8601" "2014-04-01T09:06:31-07:00"',
    'date :originalzone "date" "std11" "Tue, 01 Apr 2014 09:06:31 -0700"',
    'date :originalzone "date" "weekday" "2"', 'date :originalzone "date" "julian" "56748"',
    'date :originalzone "date" "zone" "-0700"', 'date :zone "+0000" "date" "date" "2008-02-29"',
    'date :value "ge" :zone "+0000" "date" "date" "2010-01-01"',
    'date :index 1 :zone "+0000" "received" "date" "2014-04-01"',
    'date :index 2 :originalzone "received" "date" "2014-03-31"',
    'date :index 1 :last :originalzone "received" "second" "59"',
    'date :originalzone "x-none" "year" "2014"', 'date :zone "+0130" "date" "minute" "36"',
    'currentdate :value "ge" "year" "2020"', 'currentdate :value "lt" "date" "2020-01-01"',
    'string "a" "A"', 'string :matches "abc" "a*"',
    'string :count "eq" :comparator "i;ascii-numeric" ["a", "", "b"] "2"',
    'string :is "${unknown}" ""', 'string :is "${" "${"', 'string :is "$" "$"', 'string :is "${0x}" "${0x}"',
    'string :is "${1}" ""', 'hasflag "a"', 'mailboxexists "INBOX"',
)  # fmt: skip

ACTIONS: Final = (
    "",
    "keep;",
    "discard;",
    "stop; discard;",
    "discard; keep;",
    'fileinto "A";',
    'fileinto "A"; fileinto "A";',
    'fileinto "A"; fileinto "B"; keep;',
    'fileinto :copy "A";',
    'fileinto "INBOX";',
    'redirect "a@b.c";',
    'redirect :copy "a@b.c";',
    'redirect "a@b.c"; redirect "a@b.c"; redirect "d@e.f";',
    'redirect "a@b.c"; discard;',
    'if true { keep; } elsif true { discard; } else { fileinto "A"; }',
    'if false { keep; } elsif true { discard; } else { fileinto "A"; }',
    'if false { keep; } elsif false { discard; } else { fileinto "A"; }',
    'if true { if false { keep; } else { fileinto "B"; stop; } } fileinto "C";',
    'setflag "\\\\Seen"; keep;',
    'setflag ["\\\\seen", "Foo"]; addflag "bar \\\\Flagged"; removeflag "foo"; fileinto "A";',
    'addflag "\\\\Deleted"; if hasflag "\\\\deleted" { fileinto "A"; }',
    'setflag "a b c"; if hasflag :count "eq" :comparator "i;ascii-numeric" "3" { fileinto "A"; }',
    'setflag "a b"; if hasflag :contains "B" { fileinto :flags "x" "A"; } keep;',
    'setflag "a"; keep :flags "b";',
    'setflag "v" "x y"; addflag "v" "z"; if hasflag :is "v" "z" { fileinto :flags "${v}" "A"; }',
    'set "a" "x"; fileinto "${a}${A}${b}y";',
    'set :upper "a" "aBc"; set :lowerfirst :upper "b" "aBc"; set :length "c" "12345"; fileinto "${a}.${b}.${c}";',
    'set :quotewildcard "a" "a*b?c\\\\d"; if string :matches "a*b?c\\\\d" "${a}" { fileinto "A"; }',
    'if header :matches "subject" "*[*] *" { fileinto "${0}|${1}|${2}|${3}|${4}"; }',
    'if string :matches "a.b" ["x*", "*.*"] { set "n" "${2}"; if string :matches "z" "y*" {} fileinto "${n}${1}"; }',
    'if string :matches "abcabc" "*b*" { fileinto "${1}-${2}"; }',
    'if string :matches "abc" "???" { fileinto "${1}${2}${3}"; }',
    'if not string :matches "abc" "??" { fileinto "N"; }',
    'set "i" "Foo"; if string :is :comparator "i;ascii-casemap" "${i}" "foo" { fileinto "I${i}"; }',
    'if anyof (string :matches "one" "o*", string :matches "two" "t*") { fileinto "${1}"; }',
    'set "x" "${1}"; fileinto "a${x}";',
    "fileinto text:\r\nmulti\r\n.\r\n;",
    'set "t" text: # comment\r\n..dot\r\nx\r\n.\r\n; if string :contains "${t}" ".dot" { fileinto "T"; }',
    "# comment\r\n/* another\r\n */ keep /* x */ ; # end",
    'redirect "not an address";',
    'fileinto "";',
    "foo;",
    "keep",
    "if true keep;",
    'if header "a" { keep; }',
    'header "a" "b";',
    'if header :is :contains "a" "b" { keep; }',
    'if header :comparator "i;nothing" "a" "b" { keep; }',
    "if not { keep; }",
    "if allof true { keep; }",
    "else { keep; }",
    'keep "a";',
    "keep; }",
    "if true { keep;",
    'require "fileinto";',
    'if size :over "a" { keep; }',
    "if size 10 { keep; }",
    'if envelope "cc" "a" { keep; }',
    'set "a b" "c";',
    'if date "date" "century" "20" { keep; }',
    'if header :index 0 :is "a" "b" { keep; }',
    'if header :value "xx" "a" "b" { keep; }',
    "/* open",
    'fileinto "open;',
    'if header :contains :comparator "i;ascii-numeric" "a" "1" { keep; }',
)  # fmt: skip
