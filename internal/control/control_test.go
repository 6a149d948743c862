package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mendel/internal/research"
)

type fake struct {
	stoppedBy string
}

func (f *fake) Live(context.Context) (Live, error) {
	return Live{Run: "r1", State: Searching, Slots: 2}, nil
}
func (f *fake) Stop(_ context.Context, by string) error {
	if by == "nobody" {
		return research.Hinted(errors.New("nobody may stop it"), "say who asks")
	}
	f.stoppedBy = by
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
			if err := c.Stop(ctx, "nobody"); err == nil || research.Hint(err) != "say who asks" {
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
