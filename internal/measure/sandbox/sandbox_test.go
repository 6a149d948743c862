package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

func TestNumpyComputesInside(t *testing.T) {
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		g := newGuest(t, h)
		r := run(t, h, g.python(t, `
import numpy, sys, os
a = numpy.arange(90000.0).reshape(300, 300)
print(numpy.isfinite(numpy.linalg.svd(a @ a.T, compute_uv=False)).all(), sys.argv[1:], os.getcwd())
with open(os.environ["MENDEL_OUT"] + "/model", "w") as f:
    f.write("weights")
`, "--out=/out"))
		if r.Failed() || !strings.HasPrefix(r.stdout, "True") {
			t.Fatalf("%v, stdout %q, stderr %q", r.Exit, r.stdout, r.stderr)
		}
		if r.CPU <= 0 || r.MaxRSS < 10<<20 || r.Wall < r.CPU/64 {
			t.Errorf("implausible account: wall %v, cpu %v, rss %d", r.Wall, r.CPU, r.MaxRSS)
		}
		if b, err := os.ReadFile(filepath.Join(g.out, "model")); string(b) != "weights" {
			t.Errorf("the scratch holds %q, %v", b, err)
		}
	})
}

func TestOnlyTheGivenDescriptorsArePassedOn(t *testing.T) {
	// One that some careless parent left open for all its children.
	leak, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	clearCloseOnExec(t, leak)
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		g := newGuest(t, h)
		askR, askW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		answerR, answerW, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c := g.python(t, `
import os
open_ones = [fd for fd in range(1000) if os.path.exists(f"/proc/self/fd/{fd}")]
os.write(4, os.read(3, 100).upper())
print(open_ones)`)
		c.Files = []*os.File{askR, answerW}
		var stdout bytes.Buffer
		c.Stdout = &stdout
		p, err := h.Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		askR.Close()
		answerW.Close()
		if _, err := askW.WriteString("question"); err != nil {
			t.Fatal(err)
		}
		askW.Close()
		answer, err := io.ReadAll(answerR) // ends only when nobody but us holds the pipe
		answerR.Close()
		exit := p.Wait()
		if string(answer) != "QUESTION" || err != nil || exit.Failed() {
			t.Errorf("answer %q, %v; %v", answer, err, exit)
		}
		if got := strings.TrimSpace(stdout.String()); got != "[0, 1, 2, 3, 4]" {
			t.Errorf("open descriptors inside: %s", got)
		}
	})
}

func TestEndingTheContextEndsTheTree(t *testing.T) {
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		g := newGuest(t, h)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := g.python(t, `
import os, time
os.fork()
print("up", flush=True)
time.sleep(1000)`)
		marker := "MENDEL_SANDBOX_TEST=" + t.Name()
		c.Env = append(c.Env, marker)
		up, w := io.Pipe()
		c.Stdout = w
		p, err := h.Start(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := up.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, up) }()
		cancel()
		p.Kill() // again, which is allowed
		exit := p.Wait()
		w.Close()
		if exit.Code != 137 || exit.Signal != "killed" || exit.Overflow != "" || exit.Err != nil {
			t.Errorf("exit: %+v", exit)
		}
		if left := withEnvironment(marker); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
		if _, err := h.Start(ctx, c); !errors.Is(err, context.Canceled) {
			t.Errorf("a start after the end: %v", err)
		}
	})
}

// A runner that is killed outright takes its sandboxes with it.
func TestNothingOutlivesItsRunner(t *testing.T) {
	best := sandbox.Probe(t.Context())
	for _, level := range sandbox.Levels() {
		t.Run(string(level), func(t *testing.T) {
			if !best.Level.AtLeast(level) {
				t.Skipf("this host offers at most %s", best.Level)
			}
			marker := "MENDEL_SANDBOX_TEST=" + t.Name()
			runner := exec.CommandContext(t.Context(), os.Args[0])
			runner.Env = append(os.Environ(), "MENDEL_TEST_RUNNER="+string(level), "MENDEL_TEST_MARKER="+marker)
			stdout, err := runner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := runner.Start(); err != nil {
				t.Fatal(err)
			}
			up := make([]byte, 100)
			n, err := stdout.Read(up)
			before := len(withEnvironment(marker))
			_ = runner.Process.Kill()
			_ = runner.Wait()
			if string(up[:n]) != "up\n" || err != nil || before == 0 {
				t.Fatalf("it did not start: %q, %v, %d processes", up[:n], err, before)
			}
			for wait := time.Millisecond; len(withEnvironment(marker)) > 0; wait *= 2 {
				if wait > 10*time.Second {
					t.Fatalf("processes %v are left", withEnvironment(marker))
				}
				time.Sleep(wait)
			}
		})
	}
}

func TestAMissingProgramIsTheCommandsFault(t *testing.T) {
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		g := newGuest(t, h)
		c := g.python(t, "")
		c.Argv = []string{"/recipe/no-such-program"}
		r := run(t, h, c)
		if r.Code != 127 || r.Err != nil || !strings.Contains(r.stderr, "no-such-program") {
			t.Errorf("exit %+v, stderr %q", r.Exit, r.stderr)
		}
	})
}

func TestAMissingMountIsAnError(t *testing.T) {
	eachHost(t, func(t *testing.T, h *sandbox.Host) {
		g := newGuest(t, h)
		c := g.python(t, "")
		c.Mounts = append(c.Mounts, sandbox.Mount{Host: "/no/such/data", Guest: "/data/train"})
		if _, err := h.Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "/no/such/data") {
			t.Errorf("error: %v", err)
		}
	})
}

// A guest path inside another mount cannot be made: the sandbox fails, not the command.
func TestAFailedSetUpIsNoExitOfTheCommand(t *testing.T) {
	h := sandbox.Probe(t.Context())
	if h.Level != sandbox.Isolated {
		t.Skip("needs bubblewrap")
	}
	g := newGuest(t, h)
	c := g.python(t, "print('ran')")
	c.Mounts = append(c.Mounts, sandbox.Mount{Host: g.outside, Guest: "/recipe/data"})
	var stdout bytes.Buffer
	c.Stdout = &stdout
	p, err := h.Start(t.Context(), c)
	if err == nil {
		exit := p.Wait()
		err = exit.Err
	}
	if err == nil || !strings.Contains(err.Error(), "bwrap") || stdout.Len() > 0 {
		t.Errorf("error: %v; stdout %q", err, stdout.String())
	}
}

func TestScratchIsSizeLimited(t *testing.T) {
	h := sandbox.Probe(t.Context())
	if h.Disk != sandbox.Tmpfs {
		if !h.PrivateMounts {
			t.Skip("this host has no private mounts for us")
		}
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		sandbox.PrivateMounts(again)
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "no space is left") {
			t.Fatalf("in a mount namespace of its own: %v\n%s", err, out)
		}
		return
	}
	g := newGuest(t, h)
	r := run(t, h, g.python(t, `
import os
try:
    with open(os.environ["MENDEL_OUT"] + "/x", "wb") as f:
        for _ in range(100):
            f.write(b"x" * (1 << 20))
except OSError as e:
    print(e.errno, os.path.getsize(os.environ["MENDEL_OUT"] + "/x") >> 20)`))
	if r.Failed() || !strings.HasPrefix(r.stdout, "28 6") {
		t.Fatalf("%+v: stdout %q, stderr %q", r.Exit, r.stdout, r.stderr)
	}
	t.Log("no space is left, as it should be, at level", h.Level)
}

func TestLevelsAreOrdered(t *testing.T) {
	for i, l := range sandbox.Levels() {
		parsed, err := sandbox.ParseLevel(string(l))
		if err != nil || parsed != l {
			t.Errorf("parse %q: %q, %v", l, parsed, err)
		}
		for j, other := range sandbox.Levels() {
			if l.AtLeast(other) != (i <= j) {
				t.Errorf("%s at least %s: %v", l, other, l.AtLeast(other))
			}
		}
	}
	if _, err := sandbox.ParseLevel("strong"); err == nil {
		t.Error("an unknown level was accepted")
	}
}

func TestProbeSaysHowToGetMore(t *testing.T) {
	start := time.Now()
	h := sandbox.Probe(t.Context())
	t.Logf("probed in %v", time.Since(start))
	for _, f := range h.Findings {
		if f.What == "" || f.Have == "" || !f.OK && f.Hint == "" {
			t.Errorf("finding without substance: %+v", f)
		}
		t.Logf("%+v", f)
	}
	t.Setenv("PATH", "/nonexistent")
	without := sandbox.Probe(t.Context())
	if without.Level == sandbox.Isolated {
		t.Error("isolated without bwrap")
	}
	if f := without.Findings[0]; f.OK || !strings.Contains(f.Hint, "install") {
		t.Errorf("finding: %+v", f)
	}
}

func TestRootIsGivenUpWhereTheFilesAllowIt(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	open, err := os.MkdirTemp("", "mendel-open-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(open)
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	best := sandbox.Probe(t.Context())
	for _, level := range []sandbox.Level{sandbox.Confined, sandbox.Limited} {
		h := best.Limit(level)
		for _, closed := range []bool{false, true} {
			g := newGuest(t, h)
			g.tree, g.out = filepath.Join(open, "tree-"+string(level)), filepath.Join(open, "out-"+string(level))
			if closed {
				private := filepath.Join(t.TempDir(), "private")
				if err := os.Mkdir(private, 0o700); err != nil {
					t.Fatal(err)
				}
				g.tree, g.out = filepath.Join(private, "tree"), filepath.Join(private, "out")
			}
			for _, dir := range []string{g.tree, g.out} {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			command := g.python(t, `
import os
open(os.environ["MENDEL_OUT"] + "/x", "w").close()
print(os.getuid(), [l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")])`)
			if closed && level == sandbox.Limited {
				if _, err := h.Start(t.Context(), command); research.Hint(err) == "" {
					t.Errorf("limited must refuse to run a recipe as root, and say what to do: %v", err)
				}
				continue
			}
			r := run(t, h, command)
			want := "65534 ['0000000000000000']\n"
			if closed {
				want = "0 ['0000000000000000']\n"
			}
			if r.Failed() || r.stdout != want || (r.Note != "") != closed {
				t.Errorf("%s, closed %v: %v, note %q, stdout %q, stderr %q", level, closed, r.Exit, r.Note, r.stdout, r.stderr)
			}
		}
	}
}

func TestARememberedHostIsNotProbedAgain(t *testing.T) {
	h, dir := sandbox.Probe(t.Context()), t.TempDir()
	h.Remember(dir)
	known := sandbox.Known(t.Context(), dir)
	if known.Level != h.Level || known.Memory != h.Memory || known.Processes != h.Processes || known.Disk != h.Disk {
		t.Errorf("probed %+v, known %+v", h, known)
	}
	if len(known.Findings) > 0 {
		t.Error("it probed again")
	}
	g := newGuest(t, known)
	if r := run(t, known, g.python(t, "print(1)")); r.Failed() {
		t.Errorf("%v: %s", r.Exit, r.stderr)
	}
}
