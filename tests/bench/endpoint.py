#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""endpoint.py [--runs N] [--seconds N] [--quick] --build DIR   what telemetryd costs, beside nginx.

GET vm-telemetry with 3 and with 1,000 VMs by wrk, in turn with nginx serving the same bytes as a static file, while samples
of 1,000 VMs come in every second. The client has one half of the cores, the servers the other: where the scheduler puts the
client's threads would be most of the tail. Then 10,000 VMs, a sample of each every 10 s, beside 100 clients that poll, and
then also beside clients that ask each second for all that is large (vm-telemetry, live-vms, /metrics) and one that reads the
stream: CPU, memory.
Then the history of one VM over 24 hours. Ratios within one run are what means something on a machine that others use too.
Exit status 1 when one is worse than what the project promises.
"""
import argparse
import concurrent.futures
import http.client
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
import fleet  # noqa: E402
import memory  # noqa: E402
import promises  # noqa: E402
from background import Background  # noqa: E402
from databases import DatabaseError, Server, find  # noqa: E402
from telemetryd import API, Telemetryd, now_ns  # noqa: E402

CONNECTIONS = 64
POLLERS = 100
SECOND = 10**9
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = (  # figure, limit, whether at least
    ("GET vm-telemetry, 3 VMs: requests per second / nginx", 1.00, True),
    ("GET vm-telemetry, 3 VMs: p99 / nginx", 1.00, False),
    ("GET vm-telemetry, 1,000 VMs: requests per second / nginx", 1.00, True),
    ("GET vm-telemetry, 1,000 VMs: p99 / nginx", 1.00, False),
    ("peak memory with 10,000 VMs, memfds included, MB", 300.0, False),
    ("history of one VM over 24 h, ms of CPU", 20.0, False),
)


class Nginx(Server):
    """Serves files of its directory, with nginx's own defaults. sendfile: from the page cache, as Debian's configuration
    has it."""
    ready_path = "/ready"
    sendfile = "off"

    def command(self):
        (self.directory / "www").mkdir(exist_ok=True)
        (self.directory / "www" / "ready").write_text("ready")
        conf = self.directory / "nginx.conf"
        conf.write_text(f"""
daemon off; master_process on; worker_processes 2; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile {self.sendfile}; keepalive_requests 1000000000; default_type application/json;
  client_body_temp_path {self.directory}/a; proxy_temp_path {self.directory}/b;
  fastcgi_temp_path {self.directory}/c; uwsgi_temp_path {self.directory}/d; scgi_temp_path {self.directory}/e;
  server {{ listen 127.0.0.1:{self.port}; root {self.directory}/www; }}
}}
user root;
""")
        return [find("nginx"), "-c", str(conf), "-p", str(self.directory)]


class SendingNginx(Nginx):
    sendfile = "on"


def wrk(url, seconds):
    """(requests per second, p99 ms)"""
    got = subprocess.run([find("wrk"), "-t2", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url], capture_output=True,
                         text=True, timeout=seconds + 60, check=True).stdout
    if "Non-2xx" in got or "Socket errors" in got:
        raise DatabaseError(f"wrk {url}: {got}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", got).groups()
    return float(re.search(r"Requests/sec:\s+([\d.]+)", got)[1]), float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def halves():
    """The cores of the client, and of the servers. The same where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[:(len(cores) + 1) // 2], cores[len(cores) // 2:]


def keep_to(cores, pid):
    """A process, its threads and all that it has started; what they start later has it from them."""
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cores)
        for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
            keep_to(cores, int(child))


def cpu_s(pid):
    """CPU seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Feeder(Background):
    """Sends collections of hosts, each in a body of its own, one after another over the period."""

    def __init__(self, daemon, texts, period):
        super().__init__()
        self.daemon, self.texts, self.period = daemon, texts, period
        self.late, self.sent = 0, 0

    def collection(self, stamp, text):
        """The body to send now. The same figures each time: what they cost whoever shows them is measured by dashboard.py."""
        return text.replace(stamp, f" {now_ns()}\n".encode())

    def run(self):
        connection = self.daemon.connect()
        due = time.monotonic()
        while not self.stop.is_set():
            for stamp, text in self.texts:
                connection.request("POST", "/write?precision=ns", self.collection(stamp, text))
                answer = connection.getresponse()
                if answer.status != 204:
                    raise DatabaseError(f"{answer.status} {answer.read()[:300]}")
                answer.read()
                self.sent += 1
                due += self.period / len(self.texts)
                wait = due - time.monotonic()
                self.late += wait < -self.period
                self.stop.wait(max(wait, 0))


def hosts_of(probe, scratch, hosts, vms, shape=None):
    """[(time stamp, lines)] of so many hosts with so many VMs each."""
    text = fleet.lines(probe, vms, scratch)
    if shape:
        text = shape(text)
    stamp = " " + text.rsplit(None, 1)[1] + "\n"
    made = []
    for i in range(hosts):
        def rename(found, i=i):
            return f"{found[1]}{int(found[2]) + i * vms}"
        one = re.sub(r"(\bVMID=|\bname=one-)(\d+)", rename, text)
        one = re.sub(r"uuid=00000000-0000-4000-8000-", f"uuid=00000000-0000-4000-8{i:03x}-", one)
        made.append((stamp.encode(), re.sub(r"\bhost=[^, ]+", f"host=kvm{i}", one).encode()))
    return made


def compare(args, scratch, vms, texts):
    """Ratios to nginx: (requests per second, p99), with so many VMs listed, while samples of 1,000 come in every second."""
    daemon = Telemetryd(scratch / f"d{vms}", args.build / "serve" / "telemetryd", telemetry={"max_vms": vms})
    nginx, sending = Nginx(scratch / f"n{vms}"), SendingNginx(scratch / f"s{vms}")
    all_cores = os.sched_getaffinity(0)
    clients, servers = halves()
    rates, tails, sent = [], [], []
    try:
        daemon.write(hosts_of(args.build / "probes" / "vm_monitor", scratch, 1, vms)[0][1].decode(), "/write")
        os.sched_setaffinity(0, clients)
        for server in (daemon, nginx, sending):
            keep_to(servers, server.process.pid)
        with Feeder(daemon, texts, 1.0) as feeder:
            time.sleep(2.5)
            _, _, body = daemon.ask("GET", f"{API}/vm-telemetry")
            if daemon.json("vm-telemetry")["count"] != vms:
                raise DatabaseError(f"not {vms} VMs: {body[:300]}")
            for server in (nginx, sending):
                (server.directory / "www" / "vm-telemetry").write_bytes(body)
            for _ in range(args.runs):
                ours = wrk(f"{daemon.url}{API}/vm-telemetry", args.seconds)
                theirs = wrk(f"{nginx.url}/vm-telemetry", args.seconds)
                others = wrk(f"{sending.url}/vm-telemetry", args.seconds)
                rates.append(ours[0] / theirs[0])
                tails.append(ours[1] / theirs[1])
                sent.append((ours[0] / others[0], ours[1] / others[1]))
                print(f"  {vms} VMs, {len(body)} bytes: {ours[0]:.0f} requests/s, p99 {ours[1]:.2f} ms; nginx {theirs[0]:.0f}, "
                      f"{theirs[1]:.2f} ms; with sendfile {others[0]:.0f}, {others[1]:.2f} ms", flush=True)
        print(f"  p99 / nginx, run by run: {' '.join(f'{tail:.2f}' for tail in sorted(tails))}")
        print(f"  beside nginx with sendfile: {statistics.median(rate for rate, _ in sent):.2f} requests per second, "
              f"{statistics.median(tail for _, tail in sent):.2f} p99 (no promise)")
        print(f"  {feeder.sent} collections of 1,000 VMs came in meanwhile, {feeder.late} of them late")
    finally:
        os.sched_setaffinity(0, all_cores)
        for server in (daemon, nginx, sending):
            server.stop()
    return statistics.median(rates), statistics.median(tails)


def small(text):
    """Of each VM one NIC, one disk, one vCPU."""
    kept, seen = [], set()
    for line in text.splitlines(keepends=True):
        measurement, vm = line.split(",", 1)[0], re.search(r"VMID=(\d+)", line)
        kind = (measurement, vm and vm[1], (re.search(r"devtype=(\w+)", line) or [0, ""])[1])
        if measurement in ("vm_devices", "vm_vcpus") and kind in seen:
            continue
        seen.add(kind)
        kept.append(line)
    return "".join(kept)


def many(args, scratch):
    """10,000 VMs on 100 hosts. Returns the peak memory in MB: see memory.Peak."""
    daemon = Telemetryd(scratch / "many", args.build / "serve" / "telemetryd")
    texts = hosts_of(args.build / "probes" / "vm_monitor", scratch, 100, 100, small)
    stop = threading.Event()

    def poll():
        count, connection = 0, daemon.connect()
        tag = None
        while not stop.is_set():
            try:
                connection.request("GET", f"{API}/vm-telemetry", headers={"If-None-Match": tag, "Accept-Encoding": "gzip"} if tag
                                   else {"Accept-Encoding": "gzip"})
                answer = connection.getresponse()
                answer.read()
                tag = answer.headers["ETag"]
                count += 1
            except (OSError, http.client.HTTPException):
                connection.close()
            stop.wait(10)
        return count

    try:
        with memory.Peak(daemon.process.pid) as peak, Feeder(daemon, texts, 10.0) as feeder, \
                concurrent.futures.ThreadPoolExecutor(POLLERS) as pool:
            time.sleep(11)
            jobs = [pool.submit(poll) for _ in range(POLLERS)]
            begin, cpu = time.monotonic(), cpu_s(daemon.process.pid)
            time.sleep(args.many_seconds)
            used = (cpu_s(daemon.process.pid) - cpu) / (time.monotonic() - begin)
            print(f"  {100 * used:.0f} % of a core, {peak}; highest RSS (VmHWM) {daemon.memory_kb() / 1024:.0f} MB")
            daemon.forget_peak()
            with memory.Clients(daemon, API) as clients:
                begin, cpu = time.monotonic(), cpu_s(daemon.process.pid)
                time.sleep(args.many_seconds)
                all_used = (cpu_s(daemon.process.pid) - cpu) / (time.monotonic() - begin)
            stop.set()
            polls = sum(job.result() for job in jobs)
        count = daemon.json("live-vms")["count"]
        status = daemon.json("status")
        print(f"  {clients} besides: {100 * all_used:.0f} % of a core, {peak}; highest RSS (VmHWM) "
              f"{daemon.memory_kb() / 1024:.0f} MB")
        print(f"  {count} VMs, {feeder.sent} collections of 100, {feeder.late} late; {polls} answers of vm-telemetry to {POLLERS} "
              f"clients; history {status['history']['bytes'] / 1e6:.0f} MB, {status['history']['dropped']} dropped")
        if clients.broken:
            raise DatabaseError(f"not answered: {clients.broken[:3]}")
        if count != 10000:
            raise DatabaseError(f"{count} VMs, not 10,000")
        return peak.sum / memory.MB
    finally:
        daemon.stop()


def history(args, scratch):
    """CPU ms of a query over 24 h of one VM, sampled every 10 s, among 200 others."""
    daemon = Telemetryd(scratch / "day", args.build / "serve" / "telemetryd", history={"keep_raw": "2d"})
    begin = now_ns() - 24 * 3600 * SECOND
    try:
        text = []
        for i in range(8640):
            text.append(f"vm_totals,VMID=83,host=k,name=one-83,uuid=u state=1i,cputime={i}i,cpu_usage_percent={i % 97}.5,"
                        f"memory_usage_percent=5.5,net_rxbytes_per_sec={i}.5 {begin + i * 10 * SECOND}\n")
            if i % 40 == 0:
                text += [f"vm_totals,VMID={other},host=k,name=one-{other},uuid=u cputime=1i,cpu_usage_percent=1.5 "
                         f"{begin + i * 10 * SECOND}\n" for other in range(1000, 1200)]
            if len(text) > 5000 or i == 8639:
                daemon.write("".join(text), "/write")
                text = []
        daemon.restart()
        path = f"{API}/history/83?metric=cpu_usage_percent&from=-24h"
        points = daemon.json(path)["series"][0]["points"]
        cpu, queries = cpu_s(daemon.process.pid), 200
        for _ in range(queries):
            daemon.ask("GET", path)
        spent = 1000 * (cpu_s(daemon.process.pid) - cpu) / queries
        print(f"  {len(points)} points of 8,640 samples; {spent:.1f} ms of CPU each")
        return spent
    finally:
        daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--many-seconds", type=int, default=60)
    args = parser.parse_args()
    args.build = args.build.resolve()
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="one-endpoint-bench-"))
    try:
        texts = hosts_of(args.build / "probes" / "vm_monitor", scratch, 1, 1000)
        values = [*compare(args, scratch, 3, texts), *compare(args, scratch, 1000, texts), many(args, scratch),
                  history(args, scratch)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 1 if promises.report(LIMITS, values) else 0


if __name__ == "__main__":
    sys.exit(main())
