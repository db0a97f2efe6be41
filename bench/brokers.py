"""The servers under test: how each is configured, started and stopped."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def certificates(folder: Path):
    """A CA, a certificate for the server and one for all clients; P-256, as devices have."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "client.crt").exists():
        return
    run = lambda *args: subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=bench CA",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    for name, extension in [("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth"),
                            ("client", "extendedKeyUsage=clientAuth")]:
        run("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN=bench-{name}")
        (folder / f"{name}.ext").write_text(extension + "\nbasicConstraints=CA:FALSE\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.crt", "-days", "3650", "-extfile", f"{name}.ext")
        os.chmod(folder / f"{name}.key", 0o644)  # mosquitto gives up root before it reads it


class Broker:
    """A started server: `pid`, `port` (plain), `tls_port` when `tls` is "server" or "mutual"."""

    def __init__(self, work: Path, tls: str = ""):
        self.work, self.tls, self.mutual = work / self.name, tls, tls == "mutual"
        self.port, self.tls_port, self.http_port = free_port(), free_port(), free_port()
        self.certs = (work / "certs").resolve()
        certificates(self.certs)
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)

    def __enter__(self):
        self.output = open(self.work / "output.txt", "wb")
        self.process = subprocess.Popen(self.command(), stdout=self.output, stderr=self.output)
        self.pid = self.process.pid
        try:
            for port in (self.port, self.tls_port) if self.tls else (self.port,):
                self.wait_for(port)
        except BaseException:
            self.process.kill()
            raise
        return self

    def wait_for(self, port):
        deadline = time.monotonic() + 30
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}: "
                                 + (self.work / "output.txt").read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{self.name} does not listen on {port} after 30 s")
                time.sleep(0.02)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()
        shutil.rmtree(self.work, ignore_errors=True)


class Mosquitto(Broker):
    """Debian's, told to hold nothing back: no limit on what is in flight or queued, nothing on disk, no log."""

    name = "mosquitto"

    @staticmethod
    def version(_binary):
        text = subprocess.run([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-h"],
                              capture_output=True, text=True).stdout
        return text.splitlines()[0].removeprefix("mosquitto version ")

    def command(self):
        config = self.work / "mosquitto.conf"
        tls = "" if not self.tls else f"""\
listener {self.tls_port} 127.0.0.1
cafile {self.certs}/ca.crt
certfile {self.certs}/server.crt
keyfile {self.certs}/server.key
require_certificate {str(self.mutual).lower()}
"""
        config.write_text(f"""\
per_listener_settings false
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_dest none
listener {self.port} 127.0.0.1
{tls}""")
        return [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]


class Penstock(Broker):
    """Ours as it is by default (fsync before every acknowledgement), the gateway alone."""

    name = "penstock"
    binary = None

    @staticmethod
    def version(binary):
        return subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip().split()[-1]

    def command(self):
        config = self.work / "penstock.toml"
        tls = "" if not self.tls else f"""\
[gateway.mqtt_tls]
listen = "127.0.0.1:{self.tls_port}"
cert = "{self.certs}/server.crt"
key = "{self.certs}/server.key"
client_ca = "{self.certs}/ca.crt"
require_client_cert = {str(self.mutual).lower()}
"""
        config.write_text(f"""\
data_dir = "{self.work.resolve()}/data"
roles = ["gateway"]
[gateway.mqtt]
listen = "127.0.0.1:{self.port}"
[pgwire]
listen = ""
[gateway.websocket]
listen = ""
{tls}[http]
listen = "127.0.0.1:{self.http_port}"
""")
        return [self.binary, "serve", "--config", str(config)]
