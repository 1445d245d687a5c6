"""Talk to nngcat, NNG's own command-line program: to C on the other side, that is.

Debian has it in the package nng-utils. The commands that are run here work as well in a shell.
"""

import shutil
import subprocess
import sys

import nngio

URL = "tcp://127.0.0.1:0"


def main() -> None:
    if shutil.which("nngcat") is None:
        sys.exit("nngcat is not installed (Debian: apt install nng-utils)")

    # nngcat asks, Python answers.
    with nngio.Rep0(listen=URL, recv_timeout=5) as rep:
        command = ["nngcat", "--req", "--dial", rep.listeners[0].url, "--data", "What is 6 times 7?", "--ascii"]
        nngcat = subprocess.Popen(command, stdout=subprocess.PIPE)
        print("nngcat asks:", rep.recv().decode())
        rep.send(b"42")
        output, _ = nngcat.communicate(timeout=5)
        print("nngcat prints:", output.decode().strip())

    # Python asks, nngcat answers. Either side may dial: here it is the one that replies.
    with nngio.Req0(listen=URL) as req:
        command = ["nngcat", "--rep", "--dial", req.listeners[0].url, "--data", "Ask me later.", "--silent"]
        nngcat = subprocess.Popen(command)
        try:
            print("nngcat answers:", req.request(b"What is the meaning of it?", timeout=5).decode())
        finally:
            nngcat.kill()
            nngcat.wait()


if __name__ == "__main__":
    main()
