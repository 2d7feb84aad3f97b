# cython: language_level=3
"""C declarations of relay/smtp/_state.pyx: the states of a session, and what moves it from one to the next."""

cdef enum State:
    CONNECTED       # nothing is said yet: policy is asked about the client
    GREETING        # it may come in, and waits for the greeting (smtp.banner_delay)
    COMMAND         # reads commands
    RECIPIENTS      # policy is asked about recipients: only more of them are read
    ASKING          # policy or the Authenticator is asked about the last command: nothing is read
    LOGIN           # the next line is a response of a SASL exchange
    CONTENT         # reads content after DATA
    CHUNK           # reads the octets of a BDAT
    HANDSHAKE       # TLS begins: nothing is read or written in the clear
    OVER            # the last reply is given; what still comes in is thrown away
    GONE            # the connection is no more
    STATES

cdef enum Event:
    TLS_BEGINS      # STARTTLS was accepted, or the listener is one with TLS from the first octet
    TLS_FIRST       # the handshake is done, and nobody was greeted before it
    TLS_DONE        # the handshake after STARTTLS is done
    ADMITTED        # policy lets the client in
    GREETED         # the greeting is given
    ASKED           # HELO, EHLO, MAIL or AUTH waits for an answer
    RCPT_ASKED      # RCPT waits for an answer, or for an earlier RCPT that does
    ANSWERED        # no question is open that commands wait for
    CHALLENGED      # 334
    RESPONDED       # the response has come, or its line was too long
    DATA_BEGINS     # 354
    CHUNK_BEGINS    # the line of a BDAT is read
    DATA_ENDS       # end of data, or the last octet of a chunk
    ENDED           # the last reply is given, or there is nobody to give it to
    LOST            # the connection is closed
    EVENTS

cdef int next_state(int state, int event) except -1
