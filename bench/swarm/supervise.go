package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/propose/provider/anthropic"
	"mendel/internal/propose/provider/model"
	"mendel/internal/propose/provider/providertest"
	"mendel/internal/propose/session"
	"mendel/internal/research"
	"mendel/internal/task"
)

// An order tells the supervisor's process what to do.
type order struct {
	setting
	Agents int
	URL    string // of the model
}

// proposer is what the record calls the stand-in model.
const proposer = "anthropic:claude-sonnet-4-5"

// supervise is the supervisor: it makes a run, supervises it while the clock measures, and prints
// a sample.
func supervise(text string) (err error) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.Dir, "swarm-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t, err := task.Load(o.Task)
	if err != nil {
		return err
	}
	client, err := anthropic.New(anthropic.Options{BaseURL: o.URL, Key: providertest.Key})
	if err != nil {
		return err
	}
	defer client.Close()
	store, err := register(dir, t, o.Agents)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	c := newClock(o.Warm+time.Duration(o.Agents)*o.Stagger, o.Measure)
	players := map[string]session.Proposer{}
	for i := range o.Agents {
		player := model.New(model.Options{Client: client, Name: proposer})
		players[agentName(i)] = clocked{Proposer: player, clock: c, agent: i}
	}
	l, err := loop.New(loop.Config{
		Dir: dir, Shown: dir, Task: t, Store: store, Proposers: players,
		Executor: newStandIn(max(o.Agents, t.Baseline.Replicates), o.Trial, t.Score.Metric), Bench: bench{},
		PID: os.Getpid(), Host: "here", Stagger: o.Stagger, Now: time.Now, Token: newToken,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	stop, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := l.Run(stop, context.Background())
		ended <- err
		c.abandon()
	}()
	finish, err := profile(o)
	if err != nil {
		return err
	}
	result, measureErr := c.measure(o.Agents)
	err = errors.Join(measureErr, finish())
	cancel()
	if err = errors.Join(<-ended, err); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func agentName(i int) string { return fmt.Sprintf("generic-%d", i+1) }

func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// register makes a run of a team of generalists, as `mendel run --agents generic:N` does.
func register(dir string, t *task.Task, agents int) (*lineage.Store, error) {
	files, err := t.RecipeFiles()
	if err != nil {
		return nil, err
	}
	tree := make([]lineage.File, len(files))
	for i, f := range files {
		tree[i] = lineage.File{Path: f.Path, Mode: uint32(f.Mode.Perm()), Data: f.Data}
	}
	root, blobs, err := lineage.NewTree(tree)
	if err != nil {
		return nil, err
	}
	reg := research.Registration{
		Run: "swarm", VerdictVersion: research.VerdictVersion,
		Task:  research.TaskIdentity{Name: t.Name, Title: t.Title, Dir: t.Dir, Hash: t.Hash, Evaluator: t.EvaluatorHash},
		Score: t.Score, Bounds: t.Bounds, NoiseKind: t.NoiseKind, Keep: t.Keep,
		Arm:        research.Arm{Agents: research.Generic, N: agents, Lineage: true},
		Replicates: t.Baseline.Replicates, Seeds: t.Seeds, Seed: 1, BaselineTree: root.Hash,
	}
	for i := range agents {
		reg.Agents = append(reg.Agents, research.Agent{Name: agentName(i), Role: "generic", Proposer: proposer})
	}
	return lineage.Create(dir, reg, blobs...)
}

// profile begins a profile of the processor's time, if one is wanted; finish writes it, and what
// lies on the heap.
func profile(o order) (finish func() error, err error) {
	if o.Profile == "" {
		return func() error { return nil }, nil
	}
	create := func(kind string) (*os.File, error) {
		return os.Create(filepath.Join(o.Profile, fmt.Sprintf("%s-%d.pprof", kind, o.Agents)))
	}
	cpu, err := create("cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := create("heap")
		if err != nil {
			return err
		}
		return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close())
	}, nil
}
