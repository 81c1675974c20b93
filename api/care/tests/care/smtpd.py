"""A real SMTP server for tests: aiosmtpd, writing each mail to a folder.

usage: smtpd.py FOLDER [CERT KEY]
Prints its port. With a certificate it wants STARTTLS before anything else. The file FOLDER/mode says
how it behaves: `ok`, `no-such-user` (550 to RCPT), `later` (451 to RCPT), `silent` (takes the message
and never answers). FOLDER/connections has a line for each connection that was made, FOLDER/quits one for each
that was ended by QUIT.
"""

import asyncio
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP

folder = pathlib.Path(sys.argv[1])


def mode():
    return (folder / "mode").read_text().strip()


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if mode() == "no-such-user":
            return f"550 5.1.1 <{address}> nobody of that name"
        if mode() == "later":
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, server, session, envelope):
        with (folder / "quits").open("a") as quits:
            quits.write("1\n")
        return "221 Bye"

    async def handle_DATA(self, server, session, envelope):
        Handler.count += 1
        part = folder / f"{Handler.count}.part"
        head = f"X-Rcpt: {','.join(envelope.rcpt_tos)}\r\nX-Tls: {session.ssl is not None}\r\n"
        part.write_bytes(head.encode() + envelope.content)
        part.rename(folder / f"{Handler.count}.eml")
        if mode() == "silent":
            await asyncio.sleep(3600)
        return "250 queued"


class Counting(SMTP):
    def connection_made(self, transport):
        if self.transport is None:
            with (folder / "connections").open("a") as connections:
                connections.write("1\n")
        super().connection_made(transport)


async def main():
    context = None
    if len(sys.argv) > 3:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
    loop = asyncio.get_running_loop()
    make = lambda: Counting(
        Handler(), tls_context=context, require_starttls=context is not None, enable_SMTPUTF8=True
    )
    port = int((folder / "port").read_text()) if (folder / "port").exists() else 0
    server = await loop.create_server(make, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
