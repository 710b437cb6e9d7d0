"""Peer: mini-swe-agent with litellm for some turns of a scripted model. Arguments: base URL, turns, trajectory file."""

import json
import resource
import sys
from pathlib import Path

from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel

url, turns, trajectory = sys.argv[1:]
model = LitellmModel(
    model_name="anthropic/claude-opus-4-5",
    model_kwargs={"api_base": url, "api_key": "a key of the benchmark", "max_tokens": 4096},
    cost_tracking="ignore_errors",
)
agent = DefaultAgent(
    model,
    LocalEnvironment(),
    system_template="You are a programmer.",
    instance_template="{{task}}",
    step_limit=int(turns),
    cost_limit=0.0,
    output_path=Path(trajectory),
)
before = resource.getrusage(resource.RUSAGE_SELF)
agent.run("Say which number it is, again and again.")
after = resource.getrusage(resource.RUSAGE_SELF)
cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
sys.stdout.write("\n" + json.dumps({"turns": agent.n_calls, "cpu_s": cpu_s}) + "\n")
