package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mendel/internal/research"
)

type fake struct {
	stoppedBy string
	budgets   research.Budgets
}

func (f *fake) Live(context.Context) (Live, error) {
	return Live{Run: "r1", State: Searching, Slots: 2}, nil
}
func (f *fake) Stop(_ context.Context, by string) error { f.stoppedBy = by; return nil }
func (f *fake) SetBudgets(_ context.Context, b research.Budgets) error {
	if b.Trials < 0 {
		return research.Hinted(errors.New("a budget of -1 trials"), "give a number above 0")
	}
	f.budgets = b
	return nil
}

func TestAsk(t *testing.T) {
	for name, dir := range map[string]string{
		"short path":                     t.TempDir(),
		"longer than a socket's address": filepath.Join(t.TempDir(), strings.Repeat("long", 40)),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if _, err := Dial(ctx, dir); !errors.Is(err, ErrNobody) {
				t.Fatalf("Dial before Serve: %v, want ErrNobody", err)
			}
			sup := &fake{}
			srv, err := Serve(dir, sup)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(filepath.Join(dir, SocketName)); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("socket: %v, %v; want it to be its owner's alone", info, err)
			}
			c, err := Dial(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			live, err := c.Live(ctx)
			if err != nil || live.Run != "r1" || live.State != Searching {
				t.Fatalf("Live: %+v, %v", live, err)
			}
			if err := c.Stop(ctx, "me"); err != nil || sup.stoppedBy != "me" {
				t.Fatalf("Stop: %v, stopped by %q", err, sup.stoppedBy)
			}
			want := research.Budgets{Trials: 40, Time: research.Duration(time.Hour)}
			if err := c.SetBudgets(ctx, want); err != nil || sup.budgets != want {
				t.Fatalf("SetBudgets: %v, got %+v", err, sup.budgets)
			}
			err = c.SetBudgets(ctx, research.Budgets{Trials: -1})
			if err == nil || research.Hint(err) != "give a number above 0" {
				t.Fatalf("a refusal lost its hint: %v", err)
			}
			if err := srv.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Dial(ctx, dir); !errors.Is(err, ErrNobody) {
				t.Fatalf("Dial after Close: %v, want ErrNobody", err)
			}
		})
	}
}

func TestServeReplacesALeftoverSocket(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, SocketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	srv, err := Serve(dir, &fake{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
