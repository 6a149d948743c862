#!/usr/bin/python3
"""A small coding agent: it speaks MCP as the configuration says that it was given, plays one
session, and says what it can reach besides. Arguments: the run's directory, and an address of a
server on the loopback interface."""

import json
import os
import re
import socket
import subprocess
import sys

run, address = sys.argv[1:3]
config = json.load(open(os.environ["MENDEL_MCP_CONFIG"]))["mcpServers"]["mendel"]
server = subprocess.Popen([config["command"], *config["args"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
number = 0


def send(message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    server.stdin.flush()


def ask(method, **params):
    global number
    number += 1
    send({"id": number, "method": method, "params": params})
    for line in server.stdout:
        answer = json.loads(line)
        if answer.get("id") == number and "method" not in answer:
            return answer.get("result") or sys.exit("refused: %s" % line)
    sys.exit("the server hung up")


def tool(name, **args):
    answer = ask("tools/call", name=name, arguments=args)
    text = answer["content"][0]["text"]
    print("%s: %s" % (name, text.splitlines()[0] if text else ""), flush=True)
    return text


def reached(what, attempt):
    try:
        found = attempt()
    except Exception as e:
        print("closed: %s (%s)" % (what, type(e).__name__), flush=True)
    else:
        print("REACHED: %s: %.200r" % (what, found), flush=True)


def connected(family, to):
    s = socket.socket(family)
    s.settimeout(2)
    s.connect(to)
    return "connected"


def proxied(to):
    host, port = os.environ["HTTPS_PROXY"].split("//")[-1].strip("/").split(":")
    s = socket.create_connection((host, int(port)), 2)
    s.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (to, to)).encode())
    reply = s.recv(200).decode()
    if " 200 " not in reply:
        raise ConnectionError(reply)
    return reply


prompt = sys.stdin.read()
print("the prompt has %d bytes" % len(prompt))
host, port = address.split(":")
print("workspace: %s" % sorted(os.listdir(".")))
reached("its workspace", lambda: open("train.py").readline())
reached("the run's directory", lambda: [n for n in os.listdir(run) if n != "workspaces"][0])
reached("the run file", lambda: open(run + "/run.db", "rb").read(16))
reached("the control socket", lambda: connected(socket.AF_UNIX, run + "/control.sock"))
reached("workspaces of others", lambda: [n for n in os.listdir("..") if n != os.path.basename(os.getcwd())][0])
reached("the user's home", lambda: os.listdir("/root")[0])
reached("keys in the environment", lambda: [v for k, v in os.environ.items() if "KEY" in k][0])
reached("other processes", lambda: [p for p in os.listdir("/proc") if p.isdigit() and b" run\0" in open("/proc/%s/cmdline" % p, "rb").read().replace(b"\0run", b" run")][0])
reached("the network", lambda: connected(socket.AF_INET, (host, int(port))))
reached("the network by the proxy", lambda: proxied(address))
reached("a host that is not allowed", lambda: proxied("example.com:443"))

ask("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "agent.py", "version": "1"})
send({"method": "notifications/initialized"})
print("%d tools" % len(ask("tools/list")["tools"]))
text = tool("read_file", path="train.py")
now = re.search(r"EPOCHS = (\d+)", text).group(1)
tool("edit_file", path="train.py", old="EPOCHS = " + now, new="EPOCHS = = 1")
tool("syntax_check")
tool("edit_file", path="train.py", old="EPOCHS = = 1", new="EPOCHS = %d" % (int(now) + 1))
tool("syntax_check")
first = tool("submit_trial", hypothesis="one epoch more fits better", expected_delta=-0.1, key="k")
again = tool("submit_trial", hypothesis="one epoch more fits better", expected_delta=-0.1, key="k")
trial = re.search(r"trial (\d+)", first).group(1)
if trial not in again:
    sys.exit("the repeated submission is another trial: " + again)
while "Trial %s:" % trial not in tool("await_trial", trial=trial):
    pass
server.stdin.close()
