# SPDX-License-Identifier: Apache-2.0
"""Tests of guests that have an agent: waiting for it, and stand-ins for it (agent.py)."""
from agent import Agent
from harness import RigCase

REACHED_SECONDS = 60  # for libvirt to reach an agent


class AgentCase(RigCase):
    """A rig whose guests' agents are asked."""

    def uri(self):
        return self.rig.uri(rw=True)  # agents are not for read-only connections

    def agent_is_there(self, name):
        self.wait_for(lambda: self.rig.has_agent(name), f"libvirt does not reach the agent of {name}", REACHED_SECONDS)


class StandInCase(AgentCase):
    """Guests whose agents are stand-ins, under a real libvirt. with_agent: their ids; agents: {id: Agent}, which behave
    well as a test begins. fleet: guests beside them."""
    with_agent = ()
    fleet = ()

    @classmethod
    def setUpClass(cls):
        super(RigCase, cls).setUpClass()  # the rig's guests connect to the agents: they come first
        cls.agents = {}
        for vm in cls.with_agent:
            cls.agents[vm] = Agent(cls.scratch / f"agent-{vm}.sock")
            cls.cleanup(cls.agents[vm].close)
        cls.rig = cls.new_rig("rig", [*(("agent", f"one-{vm}", {"agent": str(agent.path)})
                                        for vm, agent in cls.agents.items()), *cls.fleet])

    def setUp(self):
        super().setUp()
        for vm, agent in self.agents.items():
            agent.reset()
            self.agent_is_there(f"one-{vm}")
            agent.reset()
