package local

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 7 8 9 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 6 0 164924 3133440 412"
	for name, text := range map[string]string{
		"plain":             "42 (cat)" + rest,
		"name with ) and (": "42 (a) R 1 (b)" + rest,
		"empty name":        "42 ()" + rest,
	} {
		want := stat{pid: 42, parent: 7, session: 9, threads: 6, start: 164924, state: 'S'}
		if got, err := parseStat(42, []byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, error %v; want %+v", name, got, err, want)
		}
	}
	for _, text := range []string{"", "42", "42 (cat)", "42 (cat) S 7 8", "42 (cat) S x" + rest[4:]} {
		if got, err := parseStat(42, []byte(text)); err == nil {
			t.Errorf("%q: read as %+v", text, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) R 1 (b) S 7 8 9 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 1 0 164924 3133440 412"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStat(1, text); err == nil && s.state == 0 {
			t.Errorf("%q: read without a state", text)
		}
	})
}

// Both ways to wait for the end of a process: the kernel's notice, and looking.
func TestAwait(t *testing.T) {
	for name, await := range map[string]func(process, context.Context) error{"await": process.await, "poll": process.poll} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sleep", "60")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			p, err := identify(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, end)
			if err := await(p, ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("a running process: %v, want the end of the context", err)
			}
			time.AfterFunc(20*time.Millisecond, func() { cmd.Process.Kill() })
			if err := await(p, t.Context()); err != nil {
				t.Errorf("its end: %v", err)
			}
			if p.alive() {
				t.Error("a zombie is called alive")
			}
			cmd.Wait()
			if err := await(p, t.Context()); err != nil {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}

func TestAwaitTellsProcessesOfOneNumberApart(t *testing.T) {
	p, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Fatal("this process is called dead")
	}
	p.Start--
	if p.alive() {
		t.Error("another process of this number is called alive")
	}
	if err := p.await(t.Context()); err != nil {
		t.Error(err)
	}
}
