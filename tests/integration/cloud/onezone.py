# SPDX-License-Identifier: Apache-2.0
"""onezone, oneuser and oned, as far as something asks them."""
import cli
import markup


def _zone(state):
    servers = [("SERVER", [("ENDPOINT", server["ENDPOINT"]), ("ID", server["ID"]), ("NAME", server["NAME"]),
                           ("STATE", 3 if server["ID"] == state["leader"] else 2), ("TERM", 7), ("VOTEDFOR", -1),
                           ("COMMIT", 42), ("LOG_INDEX", 42), ("FEDLOG_INDEX", -1)]) for server in state["servers"]]
    endpoint = "http://localhost:2633/RPC2"
    return markup.element("ZONE", [("ID", 0), ("NAME", "OpenNebula"), ("STATE", 0), ("TEMPLATE", [("ENDPOINT", endpoint)]),
                                   ("SERVER_POOL", servers)])


def show(context, words):
    opts, words = cli.options(words)
    cli.wants(words, 1, 1, "show")
    if words[0] not in ("0", "OpenNebula"):
        raise cli.Failure(f"[one.zone.info] Error getting zone [{words[0]}].")
    state = context.store.read()

    def plain():
        lines = ["ZONE 0 INFORMATION", "ID                : 0", "NAME              : OpenNebula", "STATE             : ENABLED"]
        if state["servers"]:
            lines += ["", "HA & FEDERATION SYNC STATUS", "ID NAME            STATE      TERM       INDEX"]
        for server in state["servers"]:
            role = "leader" if server["ID"] == state["leader"] else "follower"
            lines.append(f"{server['ID']:<2} {server['NAME']:<15} {role:<10} {7:<10} 42")
        return "\n".join(lines)
    cli.show(_zone(state), opts, plain)


def zones(context, words):
    opts, _ = cli.options(words)
    if "xml" in opts:
        print(markup.render(markup.element("ZONE_POOL", [("ZONE", _zone(context.store.read()))])))
    else:
        cli.table([("ID", 5, True), ("NAME", 25, True)], [{"ID": "0", "NAME": "OpenNebula"}], opts)


def onezone(context, words):
    commands = {"show": show, "list": zones}
    if words and words[0] in commands:
        context.check_session()
    return cli.dispatch("onezone", commands, context, words)


def _user(context, words):
    opts, _ = cli.options(words)
    node = markup.element("USER", [("ID", 0), ("GID", 0), ("GNAME", "oneadmin"), ("NAME", "oneadmin"), ("ENABLED", 1)])
    cli.show(node, opts, lambda: "USER 0 INFORMATION\nID             : 0\nNAME           : oneadmin\nENABLED        : Yes")


def oneuser(context, words):
    if words and words[0] == "show":
        context.check_session()
    return cli.dispatch("oneuser", {"show": _user}, context, words)


def oned(context, words):
    if words and words[0] in ("--version", "-v"):
        print(f"OpenNebula {context.store.read()['version']} (stand-in)")
        return 0
    raise cli.Failure("oned: the stand-in's is not started by hand")
