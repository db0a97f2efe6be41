"""Takes e-mail until stdin ends. Prints its port, then a line of JSON for each mail that it took."""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        at_ms = int(mail["date"].datetime.timestamp() * 1000)
        said = {"to": envelope.rcpt_tos, "id": mail["message-id"], "at_ms": at_ms, "text": text}
        print(json.dumps(said), flush=True)
        return "250 taken"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="peer"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
