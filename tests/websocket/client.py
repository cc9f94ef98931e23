"""A client of others for the WebSockets of a backend: says in JSON what it saw. Arguments: the port."""
import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def main(port):
    said = {}
    url = f"ws://127.0.0.1:{port}/ws"
    # It offers permessage-deflate, as browsers do; what was agreed is in its list.
    async with connect(url) as socket:
        said["extensions"] = [str(extension) for extension in socket.protocol.extensions]
        echoes = []
        for message in ["héllo", b"\x00\xff", "", "x" * 200_000]:
            await socket.send(message)
            echoes.append(await socket.recv() == message)
        # A message in pieces comes back whole.
        await socket.send(iter(["a", "b", "c" * 70_000]))
        echoes.append(await socket.recv() == "ab" + "c" * 70_000)
        said["echoes"] = echoes
        said["pong"] = await (await socket.ping(b"p")) >= 0
        await socket.close(4001, "done")
        said["closed"] = [socket.close_code, socket.close_reason]
    async with connect(url + "?push=1ms&count=3&bytes=300&ping=1ms&close=1001") as socket:
        pushed = []
        try:
            while True:
                pushed.append(json.loads(await socket.recv())["event"])
        except ConnectionClosed as closed:
            said["pushed"] = [pushed, closed.rcvd.code]
    # One message more than the backend takes.
    async with connect(url, max_size=None) as socket:
        try:
            # It may be refused before all of it is sent.
            await socket.send(b"x" * (1 << 20 | 1))
            await socket.recv()
        except ConnectionClosed as closed:
            said["too_large"] = closed.rcvd.code
    print(json.dumps(said))


asyncio.run(main(sys.argv[1]))
