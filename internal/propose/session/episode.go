package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mendel/internal/propose/tool"
	"mendel/internal/propose/workspace"
	"mendel/internal/research"
)

// A submission is what is needed to undo one.
type submission struct {
	key        string
	parent     research.TrialID
	parentTree workspace.Tree
}

// An episode is the session as its tools see it. It implements [tool.Episode].
type episode struct{ *Session }

// Rebase makes the workspace a copy of a trial's tree.
func (e episode) Rebase(id research.TrialID, tree workspace.Tree) error {
	e.submitting.Lock()
	defer e.submitting.Unlock()
	if err := e.options.Workspace.Reset(tree); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.base = id
	return nil
}

// Submit freezes the workspace as a proposal. One submission runs at a time, so that two in
// one turn neither overrun the cap nor share an edit.
func (e episode) Submit(ctx context.Context, s tool.Submission) (research.TrialID, bool, error) {
	e.submitting.Lock()
	defer e.submitting.Unlock()
	tree, err := e.options.Workspace.Snapshot(e.options.MayEdit)
	if err != nil {
		return 0, false, err
	}
	if err := e.ownChanges(tree); err != nil {
		return 0, false, err
	}
	key := strings.ReplaceAll(s.Key, "#", "_") // what follows # is ours
	if key == "" {
		key = contentKey(s.Hypothesis, tree)
	}
	e.mu.Lock()
	if n := e.refunded[key]; n > 0 {
		key = fmt.Sprintf("%s#%d", key, n+1)
	}
	earlier, repeated := e.byKey[key]
	base, spent := e.base, len(e.byKey)
	e.mu.Unlock()
	switch limit := e.options.Brief.MaxSubmit; {
	case repeated:
		return earlier, true, nil
	case spent >= limit:
		return 0, false, research.Misuse("Read the verdicts and end; another session will go on.",
			"this session has used its %d submissions", limit)
	case s.Parent != nil && *s.Parent != base:
		return 0, false, research.Misuse(fmt.Sprintf("Leave parent out, or rebase_to %s first and edit again.", *s.Parent),
			"the workspace is built on trial %s, not on %s", base, *s.Parent)
	case len(workspace.Changes(e.options.Workspace.Base(), tree)) == 0:
		return 0, false, research.Misuse("Edit it first; edits cost nothing.", "the workspace is the same as trial %s", base)
	}
	id, err := e.options.Desk.Submit(ctx, research.Proposal{
		Parent: base, Session: e.options.Brief.Session, Key: key, Hypothesis: s.Hypothesis, Expected: &s.Expected, Notes: s.Notes,
	}, tree)
	if err != nil {
		return 0, false, err
	}
	// A further edit in this session is made on what was just submitted.
	before := submission{key: key, parent: base, parentTree: e.options.Workspace.Base()}
	e.options.Workspace.Rebase(tree)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.byKey[key], e.base, e.submitted[id] = id, id, before
	return id, false, nil
}

// ownChanges refuses a tree in which files of others are not as they were. New files that are not
// the recipe's (notes, caches) are not in it.
func (e episode) ownChanges(tree workspace.Tree) error {
	var foreign []string
	for _, c := range workspace.Changes(e.options.Workspace.Base(), tree) {
		if !e.options.MayEdit(c.Path) {
			foreign = append(foreign, c.Path)
		}
	}
	if len(foreign) > 0 {
		return research.Misuse("Put them back as they were; rebase_to does it for the whole workspace.",
			"the workspace changes what your role may not edit: %s", strings.Join(foreign, ", "))
	}
	return nil
}

// contentKey stands in for a key that the caller left out: the same words about the same files
// are the same submission.
func contentKey(hypothesis string, tree workspace.Tree) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", hypothesis)
	for _, f := range tree {
		fmt.Fprintf(h, "%q %o %d\n", f.Path, f.Mode.Perm(), len(f.Data))
		h.Write(f.Data)
	}
	return "content:" + hex.EncodeToString(h.Sum(nil))
}

// Await waits for the verdict on a trial of this session.
func (e episode) Await(ctx context.Context, id research.TrialID, atMost time.Duration) (research.Trial, bool, error) {
	e.mu.Lock()
	own := slices.Sorted(maps.Keys(e.submitted))
	e.mu.Unlock()
	if !slices.Contains(own, id) {
		return research.Trial{}, false, notOwn(id, own)
	}
	if bound := e.options.AwaitAtMost; bound > 0 && (atMost == 0 || atMost > bound) {
		atMost = bound
	}
	wait := ctx
	if atMost > 0 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, atMost)
		defer cancel()
	}
	e.pause()
	t, err := e.options.Desk.Await(wait, id)
	e.unpause()
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(wait.Err(), context.DeadlineExceeded):
		return research.Trial{}, false, nil
	case err != nil:
		return research.Trial{}, false, err
	}
	if t.Status == research.Status(research.Aborted) {
		e.refund(id)
	}
	return t, true, nil
}

// refund undoes a submission that our harness failed to measure: it counts for nothing, and the
// same recipe may be submitted again, also under the same key.
func (e episode) refund(id research.TrialID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.submitted[id]
	if e.byKey[s.key] != id {
		return // undone before
	}
	delete(e.byKey, s.key)
	key, _, _ := strings.Cut(s.key, "#")
	e.refunded[key]++
	if e.base == id {
		e.base = s.parent
		e.options.Workspace.Rebase(s.parentTree)
	}
}

func notOwn(id research.TrialID, own []research.TrialID) error {
	if len(own) == 0 {
		return research.Misuse("submit_trial gives an id to wait for.", "this session has submitted nothing yet")
	}
	names := make([]string, len(own))
	for i, t := range own {
		names[i] = t.String()
	}
	return research.Misuse("It submitted "+strings.Join(names, ", ")+".", "trial %s is not of this session", id)
}
