"""A balancer in turns at 127.0.0.1:8080 that sends every tenth request once more, two seconds later."""
import asyncio, itertools, re

turn = itertools.count()
copies = set()


async def body_of(reader, head):
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return await reader.readexactly(int(length[1])) if length else b""


async def ask(port, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = await reader.readuntil(b"\r\n\r\n")
    body = await body_of(reader, answer)
    writer.close()
    return answer + body


async def again(port, head):
    await asyncio.sleep(2)
    await ask(port, head)


async def connection(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            number = next(turn)
            answer = await ask(9001 + number % 3, head)
            if number % 10 == 9:
                copies.add(asyncio.create_task(again(9001 + (number + 1) % 3, head)))
            writer.write(answer)
            if re.search(rb"(?i)\r\nconnection: *close", head + answer):
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    async with await asyncio.start_server(connection, "127.0.0.1", 8080, backlog=1024) as server:
        await server.serve_forever()


asyncio.run(main())
