#!/usr/bin/env python3
"""silent.py WHERE: passes connections on to 9001 to 9003 in turn. After 1 s each goes silent: what comes is taken and not passed on.
WHERE is `both`, `down` (to the client) or `none`: then all is passed on."""
import asyncio
import itertools
import sys

WHERE = sys.argv[1]
TURNS = itertools.cycle([9001, 9002, 9003])


async def pump(reader, writer, goes_silent):
    until = asyncio.get_running_loop().time() + 1
    while data := await reader.read(65536):
        if not (goes_silent and asyncio.get_running_loop().time() > until):
            writer.write(data)
            await writer.drain()


async def connection(reader, writer):
    backend, upstream = await asyncio.open_connection("127.0.0.1", next(TURNS))
    pumps = [
        asyncio.ensure_future(pump(reader, upstream, WHERE == "both")),
        asyncio.ensure_future(pump(backend, writer, WHERE in ("both", "down"))),
    ]
    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for task in pumps:
        task.cancel()
    for end in (upstream, writer):
        end.close()


async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", 8080)
    await server.serve_forever()


asyncio.run(main())
