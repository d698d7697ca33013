# SPDX-License-Identifier: Apache-2.0
"""What others watch VMs with: Debian's prometheus-libvirt-exporter and collectd's virt plugin, as tests/install-deps.sh
unpacks them, private and against a libvirt of ours."""
import pathlib

from databases import DatabaseError, Server

UNPACKED = pathlib.Path("/usr/local/lib/one-telemetry")
COLLECTD = """BaseDir "{directory}"
PIDFile "{directory}/pid"
PluginDir "{package}/usr/lib/collectd"
TypesDB "{package}/usr/share/collectd/types.db"
Hostname "bench"
Interval {interval}
LoadPlugin logfile
<Plugin logfile>
  LogLevel "info"
  File stdout
</Plugin>
LoadPlugin virt
<Plugin virt>
  Connection "{uri}"
  RefreshInterval {refresh}
</Plugin>
PostCacheChain "PostCache"
<Chain "PostCache">
  Target "stop"
</Chain>
"""
INTERVAL_S = 2  # between two readings; its default, 10 s, would only take longer to measure
DEFAULT_S, DEFAULT_REFRESH_S = 10, 60  # so the list of domains, made anew each 60 s, counts for a sixth of a reading


def _package(name, program):
    path = UNPACKED / name / program
    if not path.exists():
        raise DatabaseError(f"{path} is not there: tests/install-deps.sh unpacks it")
    return UNPACKED / name, str(path)


class Exporter(Server):
    ready_path = "/"

    def __init__(self, directory, uri):
        self.uri = uri
        super().__init__(directory)

    def command(self):
        program = _package("prometheus-libvirt-exporter", "usr/bin/prometheus-libvirt-exporter")[1]
        return [program, f"--web.listen-address=127.0.0.1:{self.port}", f"--libvirt.uri={self.uri}"]

    def scrape(self, guests):
        """Raises DatabaseError if it has not all guests."""
        found = self.fetch("/metrics").count(b"libvirt_domain_info_cpu_time_seconds_total{")
        if found != guests:
            raise DatabaseError(f"the exporter told of {found} guests, not {guests}")


class Collectd(Server):
    """It reads at its start and each INTERVAL_S after it. What is read goes nowhere: to drop it is its last step."""

    def __init__(self, directory, uri):
        self.uri = uri
        super().__init__(directory)

    def command(self):
        package, program = _package("collectd-core", "usr/sbin/collectd")
        conf = self.directory / "collectd.conf"
        conf.write_text(COLLECTD.format(directory=self.directory, package=package, uri=self.uri, interval=INTERVAL_S,
                                        refresh=INTERVAL_S * DEFAULT_REFRESH_S // DEFAULT_S))
        return [program, "-f", "-C", str(conf)]

    def _is_ready(self):
        return "entering read-loop" in self.log_text()
