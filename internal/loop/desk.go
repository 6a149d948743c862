package loop

import (
	"context"
	"fmt"
	"slices"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/propose/session"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
	"mendel/internal/task"
)

// errNoTrial ends a session that wanted to spend what is not there.
var errNoTrial = fmt.Errorf("%w: no trial is left", session.ErrNoBudget)

// A desk is where one session asks the run. It implements [session.Desk].
type desk struct {
	loop    *Loop
	member  *member
	session research.SessionID
}

// Submit freezes a proposal and gives it its id.
func (d *desk) Submit(ctx context.Context, p research.Proposal, tree workspace.Tree) (research.TrialID, error) {
	var id research.TrialID
	var err error
	if doErr := d.loop.do(ctx, func() { id, err = d.loop.submit(d, p, tree) }); doErr != nil {
		return 0, doErr
	}
	return id, err
}

func (l *Loop) submit(d *desk, p research.Proposal, tree workspace.Tree) (research.TrialID, error) {
	if p.Key != "" {
		if earlier, found, err := l.cfg.Store.ByKey(d.session, p.Key); err != nil {
			return 0, err
		} else if found {
			return earlier, nil
		}
	}
	if l.early {
		return 0, errEnded
	}
	if !l.mayStartSubmission() || d.member.submits > 0 && !l.mayOpenSession() {
		return 0, errNoTrial // the others that are open have a trial each in reserve
	}
	if _, err := l.cfg.Store.Trial(p.Parent); err != nil {
		return 0, research.Misuse("Give the id of a judged trial, or leave parent out.", "there is no trial %s", p.Parent)
	}
	root, blobs, err := lineage.NewTree(lineageFiles(tree))
	if err != nil {
		return 0, err
	}
	p.Role, p.Proposer, p.Session = d.member.Role, d.member.Proposer, d.session
	p.Confinement = d.member.confinement()
	p.Tree = root.Hash
	p.Tokens = l.tokens(tree, l.bytesAreTheScore())
	incumbent, _ := l.incumbent()
	p.Incumbent = incumbent.ID
	if err := l.refuseDuplicate(p, tree); err != nil {
		return 0, err
	}
	id, err := l.cfg.Store.NextTrial()
	if err != nil {
		return 0, err
	}
	if !l.append(research.Submitted{Trial: id, Proposal: p}, blobs...) {
		return 0, l.failure
	}
	l.queue.Push(job{jobKey: jobKey{trial: id}, queue: d.member.Role})
	d.member.doing, d.member.trial, d.member.since = control.Waiting, &id, l.cfg.Now()
	d.member.submits++
	return id, nil
}

// refuseDuplicate answers a submission whose code was tried before. Comments count as a
// difference where bytes are the score, or where the earlier trial was too large; a trial that
// was aborted on our side may be repeated.
func (l *Loop) refuseDuplicate(p research.Proposal, tree workspace.Tree) error {
	earlier, err := l.cfg.Store.ByTokens(p.Tokens)
	if err != nil {
		return err
	}
	for _, t := range earlier {
		if t.Status == research.Status(research.Aborted) {
			continue
		}
		if t.Status == research.Status(research.SizeBlocked) && t.Proposal.Tree != p.Tree {
			before, err := l.workspaceTree(t.Proposal.Tree)
			if err != nil {
				return err
			}
			if l.tokens(before, true) != l.tokens(tree, true) {
				continue
			}
		}
		if !l.reg.Arm.Lineage {
			return research.Misuse("Propose something else.", "this recipe was already tried")
		}
		return research.Misuse("It costs nothing to propose something else.", "this recipe was already tried as trial %s (%s): %s",
			t.ID, statusOrPending(t), t.Proposal.Hypothesis)
	}
	return nil
}

func statusOrPending(t research.Trial) string {
	if t.Status == "" {
		return "not measured yet"
	}
	return string(t.Status)
}

// tokens hashes the code of a tree's editable files.
func (l *Loop) tokens(tree workspace.Tree, comments bool) research.Hash {
	files := make(map[string][]byte, len(tree))
	for _, f := range tree {
		files[f.Path] = f.Data
	}
	return task.TokenHash(l.cfg.Task.Recipe.Language, files, comments)
}

// Await blocks until a trial is judged.
func (d *desk) Await(ctx context.Context, id research.TrialID) (research.Trial, error) {
	judged := make(chan research.Trial, 1)
	var now *research.Trial
	var err error
	doErr := d.loop.do(ctx, func() {
		var t research.Trial
		if t, err = d.loop.cfg.Store.Trial(id); err != nil {
			err = research.Misuse("", "there is no trial %s", id)
			return
		}
		if t.Status != "" {
			now = &t
			d.heard(id)
			return
		}
		d.loop.awaiting[id] = append(d.loop.awaiting[id], judged)
	})
	switch {
	case doErr != nil:
		return research.Trial{}, doErr
	case err != nil:
		return research.Trial{}, err
	case now != nil:
		return *now, nil
	}
	select {
	case t := <-judged:
		d.loop.do(ctx, func() { d.heard(id) })
		return t, nil
	case <-ctx.Done():
		d.loop.do(context.WithoutCancel(ctx), func() { d.loop.forgetAwaiting(id, judged) })
		return research.Trial{}, ctx.Err()
	case <-d.loop.ended:
		return research.Trial{}, errEnded
	}
}

// heard notes that a session knows the verdict of its trial.
func (d *desk) heard(id research.TrialID) {
	if d.member.trial != nil && *d.member.trial == id {
		d.member.doing, d.member.trial = control.Thinking, nil
	}
}

// forgetAwaiting drops one that waits no longer.
func (l *Loop) forgetAwaiting(id research.TrialID, who chan<- research.Trial) {
	l.awaiting[id] = slices.DeleteFunc(l.awaiting[id], func(c chan<- research.Trial) bool { return c == who })
	if len(l.awaiting[id]) == 0 {
		delete(l.awaiting, id)
	}
}

// Trial serves one row.
func (d *desk) Trial(_ context.Context, id research.TrialID) (research.Trial, error) {
	t, err := d.loop.cfg.Store.Trial(id)
	if err != nil {
		return t, research.Misuse("", "there is no trial %s", id)
	}
	return t, nil
}

// Tree serves the files of a trial.
func (d *desk) Tree(_ context.Context, id research.TrialID) (workspace.Tree, error) {
	t, err := d.loop.cfg.Store.Trial(id)
	if err != nil {
		return nil, research.Misuse("", "there is no trial %s", id)
	}
	return d.loop.workspaceTree(t.Proposal.Tree)
}

// Trials serves a filtered list.
func (d *desk) Trials(_ context.Context, q session.Query) ([]research.Trial, error) {
	return d.loop.cfg.Store.Trials(lineage.Filter{
		Role: q.Role, Status: q.Status, Parent: q.Parent, Text: q.Text, Before: q.Before, Limit: q.Limit,
	})
}

// Enter waits until free tools may run.
func (d *desk) Enter(ctx context.Context) (leave func(), err error) {
	return d.loop.cfg.Bench.Enter(ctx)
}

// Check runs one free check.
func (d *desk) Check(ctx context.Context, name, treeDir string) (session.CheckResult, error) {
	return d.loop.cfg.Bench.Check(ctx, name, treeDir)
}

// Shell runs a read-only command line.
func (d *desk) Shell(ctx context.Context, treeDir, script string) (session.CheckResult, error) {
	return d.loop.cfg.Bench.Shell(ctx, treeDir, script)
}

// Journal records one tool call.
func (d *desk) Journal(ctx context.Context, c research.ToolCalled) error {
	c.Session = d.session
	var ok bool
	if err := d.loop.do(ctx, func() { ok = d.loop.append(c) }); err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("journal: %w", errEnded)
	}
	return nil
}
