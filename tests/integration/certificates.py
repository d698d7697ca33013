# SPDX-License-Identifier: Apache-2.0
"""An authority and its certificates, made by the openssl command in a directory of a test."""
import pathlib
import subprocess

SECONDS = 60


class Authority:
    """file: its certificate (PEM)."""

    def __init__(self, directory, name="one-telemetry test authority"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.file, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        self._openssl("req", "-x509", *self._new_key(self.key), "-out", self.file, "-subj", f"/CN={name}",
                      "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.key.chmod(0o600)

    def server(self, names="IP:127.0.0.1,DNS:localhost"):
        """(certificate, key) of a server of these names."""
        return self._issue("server", "server", f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")

    def client(self, name="host"):
        """(certificate, key) of a client."""
        return self._issue(f"client-{name}", name, "extendedKeyUsage=clientAuth\n")

    def expire(self, cert):
        """Of a certificate that this authority has issued: the same, that was valid until yesterday."""
        cert = pathlib.Path(cert)
        self._openssl("x509", "-req", "-in", cert.with_suffix(".csr"), "-CA", self.file, "-CAkey", self.key,
                      "-CAcreateserial", "-out", cert, "-days", "-1", "-extfile", cert.with_suffix(".ext"))

    def _issue(self, file, name, extensions):
        cert, key = self.directory / f"{file}.pem", self.directory / f"{file}.key"
        request, extra = self.directory / f"{file}.csr", self.directory / f"{file}.ext"
        extra.write_text(extensions)
        self._openssl("req", "-new", *self._new_key(key), "-out", request, "-subj", f"/CN={name}")
        self._openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
                      "-out", cert, "-days", "2", "-extfile", extra)
        key.chmod(0o600)
        return cert, key

    @staticmethod
    def _new_key(path):
        return "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SECONDS)
        if done.returncode:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
