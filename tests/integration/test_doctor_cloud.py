#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""one-telemetry doctor on a stand-in of OpenNebula that install.sh has installed on: called by root it asks as oneadmin;
nothing is wrong; then hooks, hosts, a secret and the probe are broken, and each is found."""
import json
import re

from harness import args, main
from install_case import REMOTES, Installing


class OnCloud(Installing):
    hosts_of_cloud = ("kvm1", "kvm2")

    def doctor(self, machine, *options, user="root"):
        """[(status, check, text, mend)]"""
        run = machine.run(args.build / "commands" / "one-telemetry", "doctor", "--json", *options, user=user)
        self.assertEqual(run.stderr, "")
        told = json.loads(run.stdout)
        self.assertEqual(run.returncode, 1 if told["errors"] else 0)
        return [(each["status"], each["check"], each["text"], each["mend"] or "") for each in told["findings"]]

    def assert_found(self, findings, status, check, text, mend=""):
        listed = "\n".join(map(str, findings))
        found = [each for each in findings if each[:2] == (status, check) and re.search(text, each[2])]
        self.assertEqual(len(found), 1, f"{status} {check} {text}\n{listed}")
        self.assertRegex(found[0][3], mend or "^")

    def bad(self, findings):
        return [each for each in findings if each[0] == "error" or (each[0] == "warning" and each[1] not in ("clock", "balloon"))]

    def test_cloud(self):
        """front-end and hosts as install.sh leaves them are well; broken, each thing is found with its mend"""
        self.monitor()
        _, options = self.sink()
        self.install(*options, "--no-telemetryd")
        front, (kvm1, kvm2) = self.front, (self.cloud.hosts[name] for name in self.hosts_of_cloud)
        before = front.changes()
        findings = self.doctor(front)
        self.assertEqual(self.bad(findings), [])
        self.assertEqual(front.changes(), before)
        self.assert_found(findings, "ok", "user", r"called by root: each check is made as oneadmin \(uid 9869\)")
        self.assert_found(findings, "ok", "opennebula", "^OpenNebula 7")
        self.assert_found(findings, "ok", "hooks", "^[0-9]+ hooks are registered, each once")
        self.assert_found(findings, "ok", "sinks", "^influx: influxdb2 at .* takes what we send")
        for host in self.hosts_of_cloud:
            self.assert_found(findings, "ok", "hosts", f"^{host} has version")
        self.assertEqual(self.bad(self.doctor(front, "--check", "hosts", user="oneadmin")), [])
        findings = self.doctor(kvm1.machine)
        self.assertEqual(self.bad(findings), [])
        self.assert_found(findings, "ok", "run", "1 record with .* keys")
        self.assert_found(findings, "ok", "libvirt", "1 domain named one-")
        self.check_broken(front, kvm1, kvm2)

    def check_broken(self, front, kvm1, kvm2):
        hooks = self.cloud.one("onehook", "list", "-x")
        done = re.search("<ID>([0-9]+)</ID>[^H]*?<NAME>(?:<!.CDATA.)?telemetry-done", hooks)[1]
        self.cloud.one("onehook", "delete", done)
        kvm1.path("/var/tmp/one/im/kvm-probes.d/vm/monitor/telemetry").unlink()
        kvm2.down = True
        secret = front.path(f"{REMOTES}/etc/im/kvm-probes.d/secrets/influx.token")
        secret.write_text("wr0ng-t0ken-\n")
        findings = self.doctor(front)
        self.assert_found(findings, "error", "hooks", "telemetry-done is not registered", "install.sh|onehook create")
        self.assert_found(findings, "error", "hosts", "^kvm1 has no probe of ours", "sudo -u oneadmin onehost sync --force kvm1")
        self.assert_found(findings, "error", "hosts", "^kvm2 is not reached by ssh", "sudo -u oneadmin ssh .* kvm2 true")
        self.assert_found(findings, "error", "sinks", "^influx: .* refuses us: 401", "token_file")
        secret.chmod(0o644)
        self.assert_found(self.doctor(front, "--check", "secrets"), "error", "secrets", "influx.token", "chown oneadmin: .* chmod 600")


if __name__ == "__main__":
    raise SystemExit(main())
