"""A mail server for tests: a real one (aiosmtpd) that answers as it is told and shows what it was given.

Told by one argument, a JSON object, all of it optional:
  host, port     where to listen (a free port)
  tls            "starttls" (and no mail without it) or "tls", with the files "certificate" and "key"
  login          [user, password]: no mail without it
  answers        {receiver: [what it answers, one after the other, the last for good]}, each
                   "451 …", "550 …"   to RCPT
                   "begin 550 …"      to DATA, before the message
                   "data 451 …"       to the message, which is not taken
                   "drop"             nothing: it takes the message and closes the connection
                   "hold"             nothing: it takes the message and leaves the connection open
                   "250 drop"         yes, and closes the connection
                   "250"              yes

Says on standard output, one JSON object a line: {"port": 2525} when it listens, and for each message it takes
{"from", "to", "data", "session"} before it answers; "session" counts connections. Ends with its standard input.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(thing):
    print(json.dumps(thing), flush=True)


class Handler:
    def __init__(self, told):
        self.answers = {receiver: list(answers) for receiver, answers in told.get("answers", {}).items()}
        self.sessions = 0

    def answer(self, receiver):
        answers = self.answers.get(receiver, ["250"])
        return answers[0]

    def next_answer(self, receiver):
        answers = self.answers.get(receiver, ["250"])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.answer(address)[0] in "45":
            return self.next_answer(address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = self.next_answer(envelope.rcpt_tos[0])
        if answer.startswith("data "):
            return answer.removeprefix("data ")
        data = envelope.content.decode("ascii")
        say({"from": envelope.mail_from, "to": envelope.rcpt_tos, "data": data, "session": server.number})
        match answer:
            case "drop":
                server.transport.abort()
                await asyncio.Event().wait()
            case "hold":
                await asyncio.Event().wait()
            case "250 drop":
                await server.push("250 OK")
                server.transport.close()
                await asyncio.Event().wait()
        return "250 OK"


class Server(SMTP):
    async def smtp_DATA(self, arg):
        receiver = self.envelope.rcpt_tos[0]
        if self.event_handler.answer(receiver).startswith("begin "):
            await self.push(self.event_handler.next_answer(receiver).removeprefix("begin "))
        else:
            await super().smtp_DATA(arg)


async def main(told):
    context = None
    if "tls" in told:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["certificate"], told["key"])
    starttls = told.get("tls") == "starttls"
    login = told.get("login")

    def authenticate(server, session, envelope, mechanism, data):
        given = [data.login.decode(), data.password.decode()]
        return AuthResult(success=given == login, handled=False)

    handler = Handler(told)

    def connected():
        handler.sessions += 1
        server = Server(
            handler,
            hostname="mail.example.com",
            tls_context=context if starttls else None,
            require_starttls=starttls,
            authenticator=authenticate if login else None,
            auth_required=login is not None,
            auth_require_tls=starttls,
        )
        server.number = handler.sessions
        return server

    server = await asyncio.get_running_loop().create_server(
        connected,
        host=told.get("host", "127.0.0.1"),
        port=told.get("port", 0),
        ssl=context if context and not starttls else None,
    )
    say({"port": server.sockets[0].getsockname()[1]})
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main(json.loads(sys.argv[1])))
