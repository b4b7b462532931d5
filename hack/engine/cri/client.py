"""A client of Kubernetes' Container Runtime Interface, as the kubelet is one.

    client.py SOCKET call METHOD JSON     the answer as JSON; of ExecSync its output, and its exit code is this one's
    client.py exec URL INPUT              what Exec leads to: output, and the exit code
    client.py attach URL INPUT            what Attach leads to; the input is sent when there is output, which else may be
                                          missed
    client.py forward URL INPUT           what PortForward leads to: what comes back

Beside it lies runtime_pb2.py, which protoc makes of runtime.proto.
"""

import json
import sys

import grpc
import runtime_pb2
import websocket
from google.protobuf import json_format, message_factory

# Of the streams over one WebSocket, by the first byte of each message (v4.channel.k8s.io).
STDIN, STDOUT, STDERR, STATUS, SIZE = range(5)


def message_class(descriptor):
    return message_factory.MessageFactory().GetPrototype(descriptor)


def call(socket, name, text):
    method = runtime_pb2.DESCRIPTOR.services_by_name["RuntimeService"].methods_by_name[name]
    request = json_format.Parse(text, message_class(method.input_type)())
    answer = message_class(method.output_type)
    with grpc.insecure_channel(f"unix://{socket}") as channel:
        send = channel.unary_unary(
            f"/runtime.v1.RuntimeService/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        try:
            said = send(request, timeout=60)
        except grpc.RpcError as error:
            print(error.details())
            return 1
    if name == "ExecSync":
        print(said.stdout.decode() + said.stderr.decode(), end="")
        return said.exit_code
    print(json.dumps(json_format.MessageToDict(said, including_default_value_fields=True)))
    return 0


def open_stream(url):
    url = url.replace("http://", "ws://", 1)
    return websocket.create_connection(url, subprotocols=["v4.channel.k8s.io"], timeout=60)


def messages(connection):
    while True:
        try:
            frame = connection.recv()
        except websocket.WebSocketConnectionClosedException:
            return
        if not frame:
            return
        yield frame[0], frame[1:]


def exit_code(status):
    status = json.loads(status)
    if status.get("status") == "Success":
        return 0
    causes = status.get("details", {}).get("causes", [])
    codes = [int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"]
    return codes[0] if codes else 255


def stream(url, text, early):
    connection = open_stream(url)
    connection.send_binary(bytes([SIZE]) + b'{"Width":22,"Height":11}')
    code = 0
    sent = early
    if early:
        connection.send_binary(bytes([STDIN]) + text.encode())
    for channel, data in messages(connection):
        if channel in (STDOUT, STDERR):
            sys.stdout.buffer.write(data)
            if data and not sent:
                connection.send_binary(bytes([STDIN]) + text.encode())
                sent = True
        elif channel == STATUS and data:
            code = exit_code(data)
    return code


def forward(url, text):
    connection = open_stream(url)
    connection.send_binary(bytes([STDIN]) + text.encode())
    ports = set()
    for channel, data in messages(connection):
        # The first message of a stream has the number of its port.
        if channel not in ports:
            ports.add(channel)
            data = data[2:]
        sys.stdout.buffer.write(data)
    return 0


def main(words):
    match words:
        case [socket, "call", name, text]:
            return call(socket, name, text)
        case ["exec", url, text]:
            return stream(url, text, early=True)
        case ["attach", url, text]:
            return stream(url, text, early=False)
        case ["forward", url, text]:
            return forward(url, text)
    sys.exit(__doc__)


sys.exit(main(sys.argv[1:]))
