"""A gRPC client of others (grpcio), for tests/grpc.rs. What it can call it learns by reflection.

client.py calls ADDRESS [CA]     calls every method, and says as JSON what came
client.py watch ADDRESS          a line for each health that it is told, and how the watch ends
client.py descriptor FOLDER FILE what protoc makes of that .proto file, as hexadecimal digits
"""
import json
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "uuid.v1.Generator"


def connect(address, authority=None, **options):
    if authority is None:
        return grpc.insecure_channel(address, **options)
    with open(authority, "rb") as file:
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()), **options)


def stub(channel, pool, method):
    """The callable of a method, and the class of its requests."""
    found = pool.FindServiceByName(SERVICE).FindMethodByName(method)
    request = message_factory.GetMessageClass(found.input_type)
    response = message_factory.GetMessageClass(found.output_type)
    kind = ("stream" if found.client_streaming else "unary") + "_" + ("stream" if found.server_streaming else "unary")
    callable = getattr(channel, kind)(f"/{SERVICE}/{method}", request.SerializeToString, response.FromString)
    return callable, request


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


def calls(address, authority=None):
    channel = connect(address, authority)
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = descriptor_pool.DescriptorPool(database)
    said = {"services": sorted(database.get_services())}

    generate, Generate = stub(channel, pool, "Generate")
    said["generate"] = []
    for number in range(1, 4):
        metadata = [("check-request-id", f"{7:016x}-{number:016x}")]
        response, call = generate.with_call(Generate(bytes=100), metadata=metadata, timeout=20)
        said["generate"].append([response.uuid, response.number, len(response.padding), dict(call.initial_metadata())])

    events, Events = stub(channel, pool, "Events")
    said["events"] = [[it.number, it.response_id] for it in events(Events(count=5, every_ms=1, bytes=70000 // 2))]
    said["fast"] = sum(1 for _ in events(Events(count=2000, bytes=200)))

    collect, Message = stub(channel, pool, "Collect")
    sent = [Message(number=number, padding=b"x" * 1000) for number in range(1, 21)]
    response = collect(iter(sent))
    said["collect"] = [response.messages, response.bytes == sum(it.ByteSize() for it in sent), response.misplaced]

    echo, Message = stub(channel, pool, "Echo")
    said["echo"] = [it for it in echo(iter(sent))] == sent

    said["deadline"] = failure(lambda: generate(Generate(delay_ms=30000), timeout=0.3))
    said["asked"] = failure(lambda: generate(Generate(status=7)))
    said["bounds"] = failure(lambda: generate(Generate(delay_ms=60001)))
    said["large"] = failure(lambda: collect(iter([Message(padding=b"x" * (4 << 20))])))
    nobody = channel.unary_unary("/uuid.v1.Generator/Nope", lambda it: it, lambda it: it)
    said["unknown"] = failure(lambda: nobody(b""))
    compressed = connect(address, authority, compression=grpc.Compression.Gzip)
    said["compressed"] = failure(lambda: stub(compressed, pool, "Collect")[0](iter(sent)))
    bomb = Message(padding=bytes(64 << 20))
    said["bomb"] = failure(lambda: stub(compressed, pool, "Collect")[0](iter([bomb])))
    deflated = connect(address, authority, compression=grpc.Compression.Deflate)
    said["deflated"] = failure(lambda: stub(deflated, pool, "Collect")[0](iter(sent)))

    endless = events(Events(count=100000, every_ms=10))
    said["first"] = next(endless).number
    endless.cancel()

    health = health_pb2_grpc.HealthStub(channel)
    ask = lambda service: health.Check(health_pb2.HealthCheckRequest(service=service)).status
    said["health"] = [ask(""), ask(SERVICE), ask("readiness"), failure(lambda: ask("nobody"))[0]]

    # The version of reflection that is not only a draft, whose messages are alike.
    reflect = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE)
    (response,) = reflect(iter([request]))
    said["descriptor"] = response.file_descriptor_response.file_descriptor_proto[0].hex()
    print(json.dumps(said))


def watch(address):
    health = health_pb2_grpc.HealthStub(connect(address))
    try:
        for response in health.Watch(health_pb2.HealthCheckRequest(service=SERVICE)):
            print(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status), flush=True)
    except grpc.RpcError as error:
        print(error.code().name, flush=True)


def descriptor(folder, file):
    import tempfile

    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with tempfile.NamedTemporaryFile() as out:
        if protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={out.name}", file]) != 0:
            sys.exit(1)
        made = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    print(made.file[0].SerializeToString(deterministic=True).hex())


{"calls": calls, "watch": watch, "descriptor": descriptor}[sys.argv[1]](*sys.argv[2:])
