package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mendel/internal/measure/sandbox"

	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

const secret = "the-held-out-labels"

// attacks are Python programs that print HELD when they could not do harm and BROKEN when they
// could. from names the weakest level that promises to stop them.
var attacks = []struct {
	name   string
	from   sandbox.Level
	script string
}{
	{"read a secret by path", sandbox.Confined, `attempt(lambda: open(SECRET).read())`},
	{"read a secret through a link in the tree", sandbox.Confined, `attempt(lambda: open("/recipe/link" if ISOLATED else LINK).read())`},
	{"read a secret through /proc/1/root", sandbox.Confined, `attempt(lambda: open("/proc/1/root" + SECRET).read())`},
	{"read a secret through the parent's root", sandbox.Confined, `attempt(lambda: open(f"/proc/{os.getppid()}/root" + SECRET).read())`},
	{"hard-link a secret into the scratch", sandbox.Confined, `attempt(lambda: (os.link(SECRET, OUT + "/x"), open(OUT + "/x").read()))`},
	{"read another process's environment", sandbox.Confined, `
import glob
def look():
    for p in glob.glob("/proc/[0-9]*/environ"):
        try:
            if b"MENDEL_TEST_CACHE" in open(p, "rb").read():
                return p
        except OSError:
            pass
    raise OSError("none")
attempt(look)`},
	{"import a package that is not listed", sandbox.Confined, `attempt(lambda: __import__("sklearn.datasets"))`},
	{"list the home directory", sandbox.Confined, `attempt(lambda: os.listdir("/root") + os.listdir("/home"))`},
	{"list /usr/share", sandbox.Confined, `attempt(lambda: os.listdir("/usr/share"))`},
	{"write to the tree", sandbox.Confined, `attempt(lambda: open(os.path.join(os.getcwd(), "train.py"), "a").write("#"))`},
	{"write to the standard library", sandbox.Confined, `attempt(lambda: open(os.__file__, "a"))`},
	{"connect to a host port", sandbox.Confined, `
def connect():
    import socket
    socket.create_connection(("127.0.0.1", PORT), 2)
attempt(connect)`},
	{"connect to a host's unix socket", sandbox.Confined, `
def connect():
    import socket
    socket.socket(socket.AF_UNIX).connect(SOCKET)
attempt(connect)`},
	{"connect to an abstract unix socket", sandbox.Confined, `
def connect():
    import socket
    socket.socket(socket.AF_UNIX).connect("\0" + ABSTRACT)
attempt(connect)`},
	{"trace another process", sandbox.Limited, `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def trace():
    if libc.ptrace(16, os.getppid(), 0, 0) != 0:
        raise OSError(ctypes.get_errno())
attempt(trace)`},
	{"set the clock", sandbox.Limited, `
import time
attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))`},
	{"make a user namespace", sandbox.Limited, `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def unshare():
    if libc.unshare(0x10000000) != 0:
        raise OSError(ctypes.get_errno())
attempt(unshare)`},
	{"make a user namespace by clone", sandbox.Limited, `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def clone():
    pid = libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno())
attempt(clone)`},
	{"mount", sandbox.Limited, `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def mount():
    if libc.mount(b"x", b"/tmp", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno())
attempt(mount)`},
	{"signal every process that there is", sandbox.Confined, `
import signal
def kill():
    hit = []
    for pid in range(1, 70000):
        if pid in (os.getpid(), os.getppid()) or ISOLATED and pid == 1:
            continue
        try:
            os.kill(pid, 0)
            hit.append(pid)
        except OSError:
            pass
    if not hit:
        raise OSError("none")
attempt(kill)`},
	{"signal all at once", sandbox.Limited, `
attempt(lambda: os.kill(-1, 0))`},
	{"find the caller's environment", sandbox.Limited, `
if set(os.environ) & {"MENDEL_TEST_CACHE", "GOCACHE", "USER", "SHELL"}:
    print("BROKEN")
else:
    print("HELD")`},
}

func TestAttacksAreStopped(t *testing.T) {
	skipShort(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket := filepath.Join(t.TempDir(), "s")
	unixListener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unixListener.Close()
	if err := os.Chmod(socket, 0o777); err != nil {
		t.Fatal(err)
	}
	abstract := fmt.Sprintf("mendel-test-%d", os.Getpid())
	abstractListener, err := net.Listen("unix", "@"+abstract)
	if err != nil {
		t.Fatal(err)
	}
	defer abstractListener.Close()

	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		if h.Level == sandbox.None {
			t.Skip("nothing is promised here, and some of this would do harm")
		}
		g := newGuest(t, h)
		hidden := filepath.Join(g.outside, "labels")
		if err := os.WriteFile(hidden, []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(hidden, filepath.Join(g.tree, "link")); err != nil {
			t.Fatal(err)
		}
		prelude := fmt.Sprintf(`
import os, sys
SECRET, PORT, SOCKET, ABSTRACT, OUT, ISOLATED = %q, %d, %q, %q, os.environ["MENDEL_OUT"], %s
LINK = os.path.join(os.getcwd(), "link")
def attempt(action):
    try:
        print("BROKEN", action())
    except (OSError, ImportError) as e:
        print("HELD", type(e).__name__, e)
`, hidden, listener.Addr().(*net.TCPAddr).Port, socket, abstract,
			map[bool]string{true: "True", false: "False"}[h.Level == sandbox.Isolated])
		for _, a := range attacks {
			t.Run(a.name, func(t *testing.T) {
				r := run(t, h, g.python(t, prelude+a.script))
				held := strings.HasPrefix(r.stdout, "HELD")
				if r.Err != nil || !held && !strings.HasPrefix(r.stdout, "BROKEN") {
					t.Fatalf("no answer: %v, stdout %q, stderr %q", r.Exit, r.stdout, r.stderr)
				}
				if a.name == "signal every process that there is" && !signalsStayInside(h) {
					return // this kernel's Landlock is too old for it
				}
				switch {
				case held:
				case h.Level.AtLeast(a.from):
					t.Errorf("level %s promises to stop this: %s", h.Level, r.stdout)
				default:
					t.Logf("level %s does not stop this, and does not promise to", h.Level)
				}
			})
		}
		left, err := os.ReadDir(g.tree)
		if names := len(left); err != nil || names != 2 {
			t.Errorf("the tree was changed: %v, %v", left, err)
		}
	})
}

func TestTheTreeEndsWhateverItDoes(t *testing.T) {
	skipShort(t)
	cases := []struct {
		name   string
		script string
		want   func(r result) bool // besides: that it ends, and nothing is left
	}{
		{"daemon", `
import os, time, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        open(os.environ["MENDEL_OUT"] + "/daemon", "w").write("1")
        time.sleep(1000)
    os._exit(0)
while not os.path.exists(os.environ["MENDEL_OUT"] + "/daemon"):
    time.sleep(0.005)
print("done")`, func(r result) bool { return r.Code == 0 && r.stdout == "done\n" }},
		{"kill -9 -1", `
import os, signal
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
print("alive")`, func(r result) bool { return r.Err == nil && r.Code == 0 }},
		{"fork bomb", `
import os, time
children = 0
try:
    while children < 2000:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except OSError:
    pass
print(children, flush=True)
time.sleep(60 if children == 2000 else 0.2)  # a watchdog on a busy machine is late, but comes`, func(r result) bool { return r.Overflow != "" || len(strings.TrimSpace(r.stdout)) <= 2 }},
		{"memory hog in steps", `
hog = []
while sum(map(len, hog)) < 64 << 30:
    hog.append(b"x" * (16 << 20))`, func(r result) bool { return r.OOM && r.Code == 137 }},
		{"memory hog at once", `
hog = b"x" * (64 << 30)`, func(r result) bool { return r.OOM || r.Code == 1 && strings.Contains(r.stderr, "MemoryError") }},
		{"disk fill", `
import os
for i in range(1000):
    with open(os.environ["MENDEL_OUT"] + f"/{i}", "wb") as f:
        f.write(b"x" * (1 << 20))`, func(r result) bool {
			return r.Overflow == "disk" || r.OOM || r.Code == 1 && strings.Contains(r.stderr, "No space left")
		}},
		{"log flood", `
while True:
    print("y" * 1000)`, func(r result) bool { return r.Overflow == "output" && len(r.stdout)+len(r.stderr) <= 1<<20 }},
		{"processor hog", `
import os
for _ in range(3):
    os.fork()
while True:
    pass`, func(r result) bool { return r.Overflow == "cpu" && r.CPU.Seconds() > 0.8 && r.CPU.Seconds() < 10 }},
		{"missing module", `import no_such_module`, func(r result) bool { return r.Code == 1 && r.Overflow == "" }},
		{"segfault", `
import os, signal
os.kill(os.getpid(), signal.SIGSEGV)`, func(r result) bool { return r.Code == 139 && r.Signal == "segmentation fault" }},
	}
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				if c.name == "kill -9 -1" && !signalsStayInside(h) {
					t.Skip("a process could signal all others of this user")
				}
				if c.name == "fork bomb" && h.Level == sandbox.None && h.Processes == sandbox.Watchdog {
					t.Skip("nothing limits processes here")
				}
				g := newGuest(t, h)
				command := g.python(t, c.script)
				if c.name == "processor hog" {
					command.Limits.CPUSeconds = 1
				}
				marker := "MENDEL_SANDBOX_TEST=" + t.Name()
				command.Env = append(command.Env, marker)
				r := run(t, h, command)
				if r.Err != nil || !c.want(r) {
					t.Errorf("ended wrongly: %+v, stdout %.100q, stderr %.500q", r.Exit, r.stdout, r.stderr)
				}
				if left := withEnvironment(marker); len(left) > 0 {
					t.Errorf("processes %v are left", left)
				}
			})
		}
	})
}

// signalsStayInside reports whether the level keeps signals in; Landlock does from its ABI 6 on.
func signalsStayInside(h *sandbox.Host) bool {
	abi, err := llsys.LandlockGetABIVersion()
	return h.Level == sandbox.Isolated || h.Level == sandbox.Confined && err == nil && abi >= 6
}

// withEnvironment lists the processes that have the entry in their environment.
func withEnvironment(entry string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	return slices.DeleteFunc(files, func(f string) bool {
		b, _ := os.ReadFile(f)
		return !strings.Contains("\x00"+string(b), "\x00"+entry+"\x00")
	})
}
