// Command overhead measures what a trial costs beside the recipe's own processes: it runs trials
// whose recipe does nothing, with more and more phases, and fits a line through their times. The
// line's start is the cost of a trial, its slope that of one sandboxed process.
//
// A trial here is what the loop pays for: writing the bundle, starting `mendel runner`, all that
// it does, and reading the result. From that the time is taken off which the same programs need
// when they are started without any of it.
package main

import (
	"context"
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
	b, err := newBench(mendel, dir)
	if err != nil {
		return err
	}
	phases := []int{1, 2, 4, 8}
	if _, err := b.trial(1); err != nil { // fills the caches
		return err
	}
	bare, err := bareStart(50)
	if err != nil {
		return err
	}
	costs := make([][]float64, len(phases))
	for range trials { // interleaved, so that a slow moment of the machine hits all sizes
		for i, n := range phases {
			wall, err := b.trial(n)
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], milliseconds(wall)-float64(n)*bare)
		}
	}
	b.report(phases, costs, bare)
	return nil
}

// A bench makes trials that do nothing.
type bench struct {
	mendel, dir string
	tree        []bundle.File
	hash        research.Hash
	private     bool // runners get mounts of their own, as the local executor gives them
	made        int
	sandbox     research.SandboxNote
}

func newBench(mendel, dir string) (*bench, error) {
	b := &bench{mendel: mendel, dir: dir, tree: []bundle.File{{Path: "train.txt", Mode: 0o644, Data: make([]byte, 20_000)}}}
	b.private = sandbox.Known(context.Background(), b.cache()).PrivateMounts
	tree := filepath.Join(dir, "tree")
	if err := errors.Join(os.Mkdir(tree, 0o755), os.WriteFile(filepath.Join(tree, b.tree[0].Path), b.tree[0].Data, 0o644)); err != nil {
		return nil, err
	}
	var err error
	b.hash, err = bundle.HashTree(tree)
	return b, err
}

func (b *bench) cache() string { return filepath.Join(b.dir, "cache") }

// spec is a task of n phases, each of which is /bin/true.
func (b *bench) spec(n int) bundle.Spec {
	second := research.Duration(10 * time.Second)
	var phases []bundle.Phase
	for i := range n {
		phases = append(phases, bundle.Phase{Name: fmt.Sprintf("phase%d", i), Run: []string{"true"}, Timeout: second, KillAfter: second, OnFail: research.Crash})
	}
	return bundle.Spec{
		Run: "overhead", TreeHash: b.hash, Self: b.mendel, CacheDir: b.cache(),
		Attempt: research.Attempt{Trial: research.TrialID(b.made), Number: 1, Token: "t", Seeds: []int64{1}},
		Task: bundle.Plan{
			Name: "nothing", Editable: []string{"train.txt"}, Phases: phases, Sandbox: "none",
			Environment: bundle.Environment{Programs: []string{"true"}},
			Metrics:     map[string]bundle.Metric{"seconds": {Source: research.FromHarness, Unit: "s", Measure: "wall(phase0)"}},
			Score:       research.ScoreRule{Metric: "seconds", Unit: "s", Direction: research.Minimize},
			Resources:   bundle.Resources{CPUs: 1, Memory: 1 << 30, Disk: 64 << 20, Processes: 16},
		},
	}
}

// trial runs one trial of n phases from nothing to its result, and says how long that took.
func (b *bench) trial(n int) (time.Duration, error) {
	b.made++
	dir := filepath.Join(b.dir, "bundles", fmt.Sprintf("%03d-0-1", b.made))
	began := time.Now()
	made, err := bundle.Create(dir, b.spec(n), b.tree, "")
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(b.mendel, "runner", dir)
	cmd.Stderr = os.Stderr
	if b.private {
		sandbox.PrivateMounts(cmd)
	}
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("mendel runner: %w", err)
	}
	result, err := made.Result()
	if err != nil {
		return 0, err
	}
	wall := time.Since(began)
	if m := result.Measurement; m.Outcome != research.Valid {
		return 0, fmt.Errorf("a recipe that does nothing ended as %s: %s", m.Outcome, m.Reason)
	}
	b.sandbox = result.Measurement.Sandbox
	return wall, bundle.Remove(dir)
}

// bareStart is the median time that the recipe's program needs by itself, in milliseconds.
func bareStart(times int) (float64, error) {
	var each []float64
	for range times {
		began := time.Now()
		if err := exec.Command("true").Run(); err != nil {
			return 0, err
		}
		each = append(each, milliseconds(time.Since(began)))
	}
	return median(each), nil
}

func (b *bench) report(phases []int, costs [][]float64, bare float64) {
	fmt.Printf("sandbox %s, memory %s, processes %s, disk %s\n", b.sandbox.Level, b.sandbox.Memory, b.sandbox.Processes, b.sandbox.Disk)
	fmt.Printf("%-30s %8s %8s %8s   %s\n", "harness time (ms)", "median", "best", "worst", "median/target")
	var x, y []float64
	for i, n := range phases {
		fmt.Printf("%-30s %8.1f %8.1f %8.1f   %.2f\n", fmt.Sprintf("trial of %d sandboxed processes", n), median(costs[i]),
			slices.Min(costs[i]), slices.Max(costs[i]), median(costs[i])/(targetTrial+float64(n)*targetStart))
		x, y = append(x, float64(n)), append(y, median(costs[i]))
	}
	start, slope := line(x, y)
	fmt.Printf("a trial costs %.1f ms (%.2f of its target) and %.1f ms for each sandbox start (%.2f of its target, %.1f bare starts of %.1f ms)\n",
		start, start/targetTrial, slope, slope/targetStart, slope/bare, bare)
}

// line fits y = start + slope·x by least squares.
func line(x, y []float64) (start, slope float64) {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	slope = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return (sy - slope*sx) / n, slope
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
