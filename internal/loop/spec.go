package loop

import (
	"io/fs"
	"os"
	"path/filepath"

	"mendel/internal/lineage"
	"mendel/internal/measure/bundle"
	"mendel/internal/measure/executor"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
	"mendel/internal/task"
)

// spec writes down what an attempt's runner has to know.
func (l *Loop) spec(a research.Attempt, tree research.Hash) bundle.Spec {
	s := SpecOf(l.cfg.Task)
	s.Run, s.Attempt, s.TreeHash = l.reg.Run, a, tree
	s.Site, s.Self, s.CacheDir = l.cfg.Site, l.cfg.Self, l.cfg.CacheDir
	s.AllowUnsandboxed = l.reg.Unsandboxed
	return s
}

// SpecOf is the part of a spec that a task alone decides.
func SpecOf(t *task.Task) bundle.Spec {
	plan := bundle.Plan{
		Name: t.Name, Language: t.Recipe.Language, Editable: t.Recipe.Editable,
		Environment: bundle.Environment{Programs: t.Environment.Programs, Env: t.Environment.Env},
		Artifact:    bundle.Artifact(t.Artifact),
		Metrics:     make(map[string]bundle.Metric, len(t.Metrics)),
		Score:       t.Score,
		Bounds:      t.Bounds,
		Resources: bundle.Resources{
			CPUs: t.Resources.CPUs, GPUs: t.Resources.GPUs, Memory: t.Resources.Memory,
			Disk: t.Resources.Disk, Processes: t.Resources.Processes,
		},
		Sandbox: t.Sandbox,
	}
	if p := t.Environment.Python; p != nil {
		plan.Environment.Python = &bundle.Python{Packages: p.Packages, Threads: p.Threads}
	}
	if t.Cache != nil {
		plan.Cache = &bundle.Cache{From: t.Cache.From, Files: t.Cache.Files}
	}
	for _, d := range t.Data {
		plan.Data = append(plan.Data, bundle.Data(d))
	}
	for _, c := range t.Checks {
		plan.Checks = append(plan.Checks, bundle.Check{
			Name: c.Name, Run: c.Run, Trusted: c.Trusted, Timeout: c.Timeout, OnFail: c.OnFail,
		})
	}
	for _, p := range t.Phases {
		plan.Phases = append(plan.Phases, phaseOf(p))
	}
	for name, m := range t.Metrics {
		plan.Metrics[name] = bundle.Metric(m)
	}
	return bundle.Spec{EvaluatorHash: t.EvaluatorHash, Task: plan}
}

func phaseOf(p task.Phase) bundle.Phase {
	phase := bundle.Phase{
		Name: p.Name, Run: p.Run, Trusted: p.Trusted, Evaluator: p.Evaluator, Subject: p.Subject, Once: p.Once,
		Timeout: p.Timeout, Budget: p.Budget, Grace: p.Grace, KillAfter: p.KillAfter,
		OnOverrun: p.OnOverrun, OnFail: p.OnFail, MaxFrame: p.MaxFrame, Env: p.Env,
	}
	for _, part := range p.Parts {
		phase.Parts = append(phase.Parts, bundle.Part(part))
	}
	return phase
}

// ResourcesOf is what one trial of a task holds while it runs.
func ResourcesOf(t *task.Task) executor.Resources {
	r := t.Resources
	return executor.Resources{CPUs: r.CPUs, GPUs: r.GPUs, Memory: int64(r.Memory), Exclusive: r.Exclusive == "host"}
}

// treeFiles reads a stored tree for a bundle.
func (l *Loop) treeFiles(hash research.Hash) ([]bundle.File, error) {
	stored, err := l.cfg.Store.Tree(hash)
	if err != nil {
		return nil, err
	}
	files := make([]bundle.File, len(stored))
	for i, f := range stored {
		files[i] = bundle.File{Path: f.Path, Mode: f.Mode, Data: f.Data}
	}
	return files, nil
}

// workspaceTree reads a stored tree for a workspace.
func (l *Loop) workspaceTree(hash research.Hash) (workspace.Tree, error) {
	stored, err := l.cfg.Store.Tree(hash)
	if err != nil {
		return nil, err
	}
	tree := make(workspace.Tree, len(stored))
	for i, f := range stored {
		tree[i] = workspace.File{Path: f.Path, Mode: fs.FileMode(f.Mode), Data: f.Data}
	}
	return tree, nil
}

func lineageFiles(tree workspace.Tree) []lineage.File {
	files := make([]lineage.File, len(tree))
	for i, f := range tree {
		files[i] = lineage.File{Path: f.Path, Mode: uint32(f.Mode.Perm()), Data: f.Data}
	}
	return files
}

// logBlobs reads the logs that a measurement names.
func logBlobs(b bundle.Bundle, r bundle.Result) ([]lineage.Blob, error) {
	blobs := make([]lineage.Blob, 0, len(r.Logs))
	for _, name := range r.Logs {
		data, err := os.ReadFile(filepath.Join(b.Logs(), filepath.Base(name)))
		if err != nil {
			return nil, err
		}
		blobs = append(blobs, lineage.NewBlob(data))
	}
	return blobs, nil
}
