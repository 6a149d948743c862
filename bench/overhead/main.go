// Command overhead measures what a trial costs beside the recipe's own processes: it runs trials
// whose recipe does nothing, with more and more phases, and fits a line through their times. The
// line's start is the cost of a trial, its slope that of one sandboxed process.
//
// A trial here is what the loop pays for: writing the bundle, starting `mendel runner`, all that
// it does, and reading the result. From that the time is taken off which the same programs need
// when they are started without any of it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/sandbox"
	"mendel/internal/research"
)

// The targets, in milliseconds.
const (
	targetTrial = 5.0
	targetStart = 15.0
)

func main() {
	mendel := flag.String("mendel", "", "the mendel binary to measure")
	trials := flag.Int("trials", 15, "trials of each size")
	flag.Parse()
	if err := run(*mendel, *trials); err != nil {
		fmt.Fprintln(os.Stderr, "overhead: error:", err)
		os.Exit(1)
	}
}

func run(mendel string, trials int) error {
	if mendel == "" {
		return errors.New("which binary? -mendel bin/mendel")
	}
	dir, err := os.MkdirTemp("", "mendel-overhead-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := bench{mendel: mendel, dir: dir}
	phases := []int{1, 2, 4, 8}
	if _, _, err := b.trial(1); err != nil { // fills the caches
		return err
	}
	bare, err := timeBare(50)
	if err != nil {
		return err
	}
	costs := make([][]float64, len(phases))
	for range trials { // interleaved, so that a slow moment of the machine hits all sizes
		for i, n := range phases {
			wall, result, err := b.trial(n)
			if err != nil {
				return err
			}
			b.sandbox = result.Measurement.Sandbox
			costs[i] = append(costs[i], milliseconds(wall)-float64(n)*bare)
		}
	}
	b.report(phases, costs, bare)
	return nil
}

type bench struct {
	mendel, dir string
	made        int
	sandbox     research.SandboxNote
}

// trial runs one trial of n phases from nothing to its result.
func (b *bench) trial(n int) (time.Duration, bundle.Result, error) {
	fail := func(err error) (time.Duration, bundle.Result, error) { return 0, bundle.Result{}, err }
	b.made++
	dir := filepath.Join(b.dir, fmt.Sprintf("%03d-0-1", b.made))
	tree := []bundle.File{{Path: "train.txt", Mode: 0o644, Data: make([]byte, 10_000)}}
	hash, err := b.treeHash(tree)
	if err != nil {
		return fail(err)
	}
	began := time.Now()
	made, err := bundle.Create(dir, b.spec(n, hash), tree, "")
	if err != nil {
		return fail(err)
	}
	cmd := exec.Command(b.mendel, "runner", dir)
	cmd.Stderr = os.Stderr
	if hosts := sandbox.Known(cmdContext(), filepath.Join(b.dir, "cache")); hosts.PrivateMounts {
		sandbox.PrivateMounts(cmd)
	}
	if err := cmd.Run(); err != nil {
		return fail(fmt.Errorf("mendel runner: %w", err))
	}
	result, err := made.Result()
	if err != nil {
		return fail(err)
	}
	wall := time.Since(began)
	if m := result.Measurement; m.Outcome != research.Valid {
		return fail(fmt.Errorf("a recipe that does nothing ended as %s: %s", m.Outcome, m.Reason))
	}
	return wall, result, bundle.Remove(dir)
}
