"""Another host: announces one service, and does what it is told on standard input.

    python -m tests.sources.peer ADDRESS TYPE INSTANCE PORT [KEY=VALUE …]

Lines: `txt KEY=VALUE …` changes the TXT record, `quit` says goodbye and ends. It prints `ready` when
announced and `ok` after each line; with port 0 it listens on a free port and announces that.
"""

from __future__ import annotations

import socket
import sys

from zeroconf import ServiceInfo, Zeroconf


def main(address: str, type_: str, instance: str, port: int, txt: list[str]) -> None:
    listener = socket.create_server((address, port), reuse_port=False)
    port = listener.getsockname()[1]
    zc = Zeroconf(interfaces=[address])
    info = _info(address, type_, instance, port, txt)
    zc.register_service(info, cooperating_responders=True)
    print(f"ready {port}", flush=True)
    for line in sys.stdin:
        verb, *rest = line.split()
        if verb == "txt":
            zc.update_service(_info(address, type_, instance, port, rest))
        elif verb == "close":
            listener.close()
        elif verb == "listen":
            listener = socket.create_server((address, port))
        elif verb == "quit":
            break
        print("ok", flush=True)
    zc.close()
    listener.close()


def _info(address: str, type_: str, instance: str, port: int, txt: list[str]) -> ServiceInfo:
    return ServiceInfo(
        type_,
        f"{instance}.{type_}",
        addresses=[socket.inet_aton(address)],
        port=port,
        properties=dict(pair.split("=", 1) for pair in txt),
        server=f"{instance.lower()}.local.",
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:])
