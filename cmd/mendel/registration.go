package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

// registration writes event 1: everything that is fixed before anything is measured.
func registration(t *taskPackage, b *workbench, f runFlags, arm research.Arm, agents []research.Agent, budgets research.Budgets) (research.Registration, []lineage.Blob, error) {
	files, err := t.RecipeFiles()
	if err != nil {
		return research.Registration{}, nil, err
	}
	tree := make([]lineage.File, len(files))
	for i, file := range files {
		tree[i] = lineage.File{Path: file.Path, Mode: uint32(file.Mode.Perm()), Data: file.Data}
	}
	root, blobs, err := lineage.NewTree(tree)
	if err != nil {
		return research.Registration{}, nil, err
	}
	reg := research.Registration{
		Run: newToken()[:12], Mendel: programVersion(), VerdictVersion: research.VerdictVersion,
		Task:  research.TaskIdentity{Name: t.Name, Title: t.Title, Dir: t.Dir, Hash: t.Hash, Evaluator: t.EvaluatorHash},
		Score: t.Score, Bounds: t.Bounds, NoiseKind: t.NoiseKind, Keep: t.Keep,
		Arm: arm, Agents: agents, Budgets: budgets, Replicates: t.Baseline.Replicates, Seeds: t.Seeds, Seed: f.seed,
		Certificate: t.Certificate, Sandbox: b.note, SandboxRequire: t.Sandbox, Unsandboxed: b.below && f.unsandboxed,
		Parallel: f.parallel, Site: b.sitePath, SiteDigest: b.siteDigest, Environment: b.environment,
		BaselineTree: root.Hash,
	}
	return reg, blobs, nil
}

// team reads --agents, --roles and --proposer.
func team(t *taskPackage, f runFlags) (research.Arm, []research.Agent, error) {
	arm := research.Arm{Lineage: !f.noLineage}
	if f.proposer != "mutate" {
		return arm, nil, research.Hinted(usageError{fmt.Errorf("no proposer %q", f.proposer)}, "there is: mutate")
	}
	plan, number, _ := strings.Cut(f.agents, ":")
	arm.Agents = research.AgentPlan(plan)
	if arm.Agents != research.Specialists && len(f.roles) > 0 {
		return arm, nil, usageError{fmt.Errorf("--roles chooses specialists: it does not go with --agents %s", f.agents)}
	}
	var agents []research.Agent
	switch {
	case arm.Agents == research.Specialists && number == "":
		for _, id := range f.roles {
			if !slices.ContainsFunc(t.Roles, func(r research.Role) bool { return r.ID == id }) {
				return arm, nil, research.Hinted(usageError{fmt.Errorf("the task has no role %q", id)}, "its roles: "+strings.Join(roleIDs(t), ", "))
			}
		}
		for _, r := range t.Roles {
			if len(f.roles) == 0 || slices.Contains(f.roles, r.ID) {
				agents = append(agents, research.Agent{Name: r.ID, Role: r.ID, Proposer: f.proposer})
			}
		}
	case arm.Agents == research.Generic:
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 1000 {
			return arm, nil, research.Hinted(usageError{fmt.Errorf("--agents %s: how many?", f.agents)}, "--agents generic:10")
		}
		arm.N = n
		for i := range n {
			agents = append(agents, research.Agent{Name: fmt.Sprintf("generic-%d", i+1), Role: "generic", Proposer: f.proposer})
		}
	case arm.Agents == research.Single && number == "":
		agents = []research.Agent{{Name: "single", Role: "generic", Proposer: f.proposer}}
	default:
		return arm, nil, research.Hinted(usageError{fmt.Errorf("--agents %s", f.agents)}, "want specialists, generic:N or single")
	}
	if arm.Agents == research.Specialists {
		return withKnobs(t, arm, agents)
	}
	if len(t.Knobs) == 0 {
		return arm, nil, noKnobs(t)
	}
	return arm, agents, nil
}

// withKnobs leaves out the specialists for whom mutate would have nothing to turn.
func withKnobs(t *taskPackage, arm research.Arm, agents []research.Agent) (research.Arm, []research.Agent, error) {
	var able []research.Agent
	for _, a := range agents {
		if slices.ContainsFunc(t.Knobs, func(k research.Knob) bool { return k.Role == a.Role }) {
			able = append(able, a)
		} else {
			fmt.Fprintf(os.Stderr, "mendel: role %s has no knob for mutate to turn: left out\n", a.Role)
		}
	}
	if len(able) == 0 {
		return arm, nil, noKnobs(t)
	}
	return arm, able, nil
}

func noKnobs(t *taskPackage) error {
	return research.Hinted(fmt.Errorf("%s declares no knob that mutate could turn", t.Name),
		"declare some in knobs.yaml and name it in task.yaml (docs/task-format.md)")
}

func roleIDs(t *taskPackage) []string {
	ids := make([]string, len(t.Roles))
	for i, r := range t.Roles {
		ids[i] = r.ID
	}
	return ids
}
