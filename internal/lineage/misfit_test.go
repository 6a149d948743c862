package lineage_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"mendel/internal/lineage"
	"mendel/internal/lineage/lineagetest"
	"mendel/internal/research"
)

// TestMisfits: a fact that contradicts the lineage is refused with words, and leaves no trace.
func TestMisfits(t *testing.T) {
	dir := t.TempDir()
	author, store := openRun(t, dir, 2)
	append := func(fact research.Fact, blobs ...lineage.Blob) {
		t.Helper()
		if _, err := store.Append(ctx, fact, blobs...); err != nil {
			t.Fatal(err)
		}
	}
	opened, prompt := author.Opened()
	append(opened, prompt)
	pending, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	append(pending, blobs...)
	append(author.Asked(1))
	answered := func(change func(*research.ModelAnswered)) research.ModelAnswered {
		a := author.Answered(1)
		change(&a)
		return a
	}
	asked := func(change func(*research.ModelAsked)) research.ModelAsked {
		a := author.Asked(2)
		change(&a)
		return a
	}
	first, second := author.Attempt(pending.Trial, 0, 1), author.Attempt(pending.Trial, 0, 2)
	append(research.Dispatched{Attempt: first})
	append(research.Dispatched{Attempt: second})
	stale, staleLogs := author.Measured(first, research.Valid, 11)
	late, lateLogs := author.Measured(second, research.Valid, 11)
	if _, err := store.Judgement(pending.Trial); err == nil || !strings.Contains(err.Error(), "still open") {
		t.Errorf("judgement with an open attempt: %v", err)
	}

	submission := func(change func(*research.Submitted)) research.Submitted {
		s := pending
		s.Trial++
		s.Proposal.Key = "another"
		change(&s)
		return s
	}
	forged := func(change func(*research.Measured)) research.Measured {
		m := late
		change(&m)
		return m
	}
	baseline := must(store.Trial(0))(t)
	stray := lineage.NewBlob([]byte("nobody names it"))
	misnamed := lineage.Blob{Hash: prompt.Hash, Data: []byte("another content")}
	attempt := func(change func(*research.Attempt)) research.Attempt {
		a := author.Attempt(pending.Trial, 0, 3)
		change(&a)
		return a
	}
	cases := map[string]struct {
		fact  research.Fact
		blobs []lineage.Blob
		want  string
	}{
		"second registration": {research.Registered{Registration: lineagetest.Registration(baseline.Proposal.Tree)}, nil, "event 1 and no other"},
		"trial id with gap":   {submission(func(s *research.Submitted) { s.Trial++ }), nil, "does not follow: the next one is 004"},
		"trial id again":      {submission(func(s *research.Submitted) { s.Trial = 3 }), nil, "does not follow"},
		"unknown parent":      {submission(func(s *research.Submitted) { s.Proposal.Parent = 9 }), nil, "parent 9"},
		"own parent":          {submission(func(s *research.Submitted) { s.Proposal.Parent = 4 }), nil, "parent 4"},
		"unknown incumbent":   {submission(func(s *research.Submitted) { s.Proposal.Incumbent = 9 }), nil, "incumbent 9"},
		"unknown session":     {submission(func(s *research.Submitted) { s.Proposal.Session = 77 }), nil, "session 77 was never opened"},
		"closed session":      {submission(func(s *research.Submitted) { s.Proposal.Session = 1 }), nil, "session 1 is closed"},
		"key again":           {submission(func(s *research.Submitted) { s.Proposal.Key = pending.Proposal.Key }), nil, "for trial 003 already"},
		"unknown tree":        {submission(func(s *research.Submitted) { s.Proposal.Tree = stray.Hash }), nil, "is missing"},
		"tree is no manifest": {submission(func(s *research.Submitted) { s.Proposal.Tree = stray.Hash }), []lineage.Blob{stray}, "not a manifest"},
		"stray blob":          {submission(func(s *research.Submitted) {}), []lineage.Blob{stray}, "does not name the blob"},
		"misnamed blob":       {submission(func(s *research.Submitted) {}), []lineage.Blob{misnamed}, "its content is another"},
		"session with gap":    {research.SessionOpened{Session: 9}, nil, "the next one is 4"},
		"session of nothing":  {research.SessionOpened{Session: 4, Base: 55}, nil, "trial 055"},
		"prompt not given":    {research.SessionOpened{Session: 4, Prompt: stray.Hash}, nil, "neither stored nor given"},
		"tool of no session":  {research.ToolCalled{Session: 9}, nil, "session 9 was never opened"},
		"refund":              {research.ToolCalled{Session: 3, CPU: -1}, nil, "negative"},
		"ask in no session":   {asked(func(a *research.ModelAsked) { a.Session = 9 }), nil, "session 9 was never opened"},
		"ask in closed one":   {asked(func(a *research.ModelAsked) { a.Session = 1 }), nil, "session 1 is closed"},
		"call again":          {author.Asked(1), nil, "call 1 of session 3 does not follow: the next one is 2"},
		"call with gap":       {author.Asked(3), nil, "the next one is 2"},
		"no model":            {asked(func(a *research.ModelAsked) { a.Model = "" }), nil, "names no model"},
		"negative reserve":    {asked(func(a *research.ModelAsked) { a.Worst.USD = -1 }), nil, "no call does"},
		"negative tokens":     {asked(func(a *research.ModelAsked) { a.Worst.Tokens = -1 }), nil, "no call does"},
		"reserve no number":   {asked(func(a *research.ModelAsked) { a.Worst.USD = math.NaN() }), nil, "cannot be stored"},
		"absurd reserve":      {asked(func(a *research.ModelAsked) { a.Worst.Tokens = math.MaxInt64 }), nil, "no call does"},
		"answer unasked":      {author.Answered(2), nil, "call 2 of session 3 is not open"},
		"answer of nobody":    {answered(func(a *research.ModelAnswered) { a.Session = 9 }), nil, "is not open"},
		"negative usage":      {answered(func(a *research.ModelAnswered) { a.Usage.Thinking = -1 }), nil, "no call does"},
		"absurd usage":        {answered(func(a *research.ModelAnswered) { a.Usage.CacheRead = math.MaxInt64 }), nil, "no call does"},
		"negative charge":     {answered(func(a *research.ModelAnswered) { a.Charge.USD = -0.01 }), nil, "no call does"},
		"charge no number":    {answered(func(a *research.ModelAnswered) { a.Charge.USD = math.Inf(1) }), nil, "cannot be stored"},
		"negative wait":       {answered(func(a *research.ModelAnswered) { a.Wall = -1 }), nil, "took -1 s"},
		"close unknown":       {research.SessionClosed{Session: 9, Ending: "lost"}, nil, "session 9 was never opened"},
		"close twice":         {research.SessionClosed{Session: 1, Ending: "lost"}, nil, "session 1 is closed"},
		"unknown ending":      {research.SessionClosed{Session: 3, Ending: "bored"}, nil, `"bored" is not an ending`},
		"dispatch unknown":    {research.Dispatched{Attempt: attempt(func(a *research.Attempt) { a.Trial = 8 })}, nil, "trial 008 was never submitted"},
		"dispatch judged":     {research.Dispatched{Attempt: attempt(func(a *research.Attempt) { a.Trial = 1 })}, nil, "trial 001 is judged already"},
		"attempt with gap":    {research.Dispatched{Attempt: attempt(func(a *research.Attempt) { a.Number = 7 })}, nil, "the next one is 3"},
		"token again":         {research.Dispatched{Attempt: attempt(func(a *research.Attempt) { a.Token = second.Token })}, nil, "token of the one before"},
		"no token":            {research.Dispatched{Attempt: attempt(func(a *research.Attempt) { a.Token = "" })}, nil, "a token"},
		"stale result":        {stale, staleLogs, "superseded by attempt 2"},
		"forged token":        {forged(func(m *research.Measured) { m.Attempt.Token = "x" }), lateLogs, "superseded"},
		"other seeds":         {forged(func(m *research.Measured) { m.Attempt.Seeds = []int64{1} }), lateLogs, "other seeds"},
		"other replicate":     {forged(func(m *research.Measured) { m.Attempt.Replicate = 1 }), lateLogs, "003/1 was never dispatched"},
		"unknown outcome":     {forged(func(m *research.Measured) { m.Measurement.Outcome = "splendid" }), lateLogs, `"splendid" is not an outcome`},
		"valid, no score":     {forged(func(m *research.Measured) { m.Measurement.Score = nil }), lateLogs, "a valid measurement has a score"},
		"log not given":       {late, nil, "neither stored nor given"},
		"lose unknown":        {research.AttemptLost{Attempt: attempt(func(*research.Attempt) {})}, nil, "3 of 003/0 was never dispatched"},
		"calibrate again":     {research.Calibrated{Noise: *must(store.Noise())(t)}, nil, "calibrated already"},
		"judge with attempt":  {research.Judged{Trial: 3, Outcome: research.Aborted, Status: "harness_abort"}, nil, "still open"},
		"judge again":         {research.Judged{Trial: 1}, nil, "trial 001 is judged already"},
		"judge unknown":       {research.Judged{Trial: 12}, nil, "trial 012 was never submitted"},
	}
	head := must(store.Head())(t)
	for name, c := range cases {
		_, err := store.Append(ctx, c.fact, c.blobs...)
		var misfit *lineage.MisfitError
		if !errors.As(err, &misfit) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
			continue
		}
		if want := name == "stale result" || name == "forged token"; misfit.Stale != want {
			t.Errorf("%s: stale is %v", name, misfit.Stale)
		}
	}
	if got := must(store.Head())(t); got != head {
		t.Errorf("refused facts moved the head from %v to %v", head, got)
	}
	wantIntact(t, dir, lineage.Options{})

	// What came too late is counted as lost; the newest attempt's result is taken, once.
	append(research.AttemptLost{Attempt: first, Reason: "superseded", Wall: 5})
	append(late, lateLogs...)
	for _, again := range []research.Fact{late, research.AttemptLost{Attempt: first}, research.AttemptLost{Attempt: second}} {
		if _, err := store.Append(ctx, again); err == nil {
			t.Errorf("%s was accepted twice", again.Kind())
		}
	}
	if spend := must(store.Spend())(t); spend.LostWall < 5 {
		t.Errorf("lost %v s, want at least the 5 of the attempt that came too late", spend.LostWall)
	}
	wantIntact(t, dir, lineage.Options{})
}

// TestVerdictMustFollow: only the verdict that research.Judge gives is stored.
func TestVerdictMustFollow(t *testing.T) {
	author, store := openRun(t, t.TempDir(), 0)
	write := lineagetest.Live(store)
	opened, prompt := author.Opened()
	submitted, blobs, err := author.Submitted()
	if err != nil {
		t.Fatal(err)
	}
	attempt := author.Attempt(1, 0, 1)
	measured, logs := author.Measured(attempt, research.Valid, 11)
	for _, err := range []error{write(opened, prompt), write(submitted, blobs...), write(research.Dispatched{Attempt: attempt}), write(measured, logs...)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	right := must(author.Judged(1))(t)
	if right.Status != research.StatusKeep {
		t.Fatalf("status %s of a better trial", right.Status)
	}
	tiny := *right.Verdict.Difference + 1e-15
	for name, change := range map[string]func(*research.Judged){
		"keep":       func(j *research.Judged) { j.Verdict.Keep = false },
		"status":     func(j *research.Judged) { j.Status = research.StatusDiscard },
		"outcome":    func(j *research.Judged) { j.Outcome = research.Crash },
		"difference": func(j *research.Judged) { j.Verdict.Difference = &tiny },
		"against":    func(j *research.Judged) { j.Verdict.Against = 1 },
		"reason":     func(j *research.Judged) { j.Verdict.Reason += "!" },
		"samples":    func(j *research.Judged) { j.Verdict.Samples = nil },
	} {
		wrong := right
		change(&wrong)
		if err := write(wrong); err == nil {
			t.Errorf("a verdict with another %s was accepted", name)
		}
	}
	if err := write(right); err != nil {
		t.Fatal(err)
	}
	if best, ok, err := store.Incumbent(); err != nil || !ok || best.ID != 1 {
		t.Errorf("incumbent %s, %v, %v", best.ID, ok, err)
	}
}

// TestBatchIsAllOrNothing also when its author ignores an error.
func TestBatchIsAllOrNothing(t *testing.T) {
	_, store := openRun(t, t.TempDir(), 1)
	head := must(store.Head())(t)
	err := store.Batch(ctx, func(b *lineage.Batch) error {
		if _, err := b.Append(time.Now(), research.Stopped{Reason: "first"}); err != nil {
			return err
		}
		if got := must(b.Head())(t); got.Seq != head.Seq+1 {
			t.Errorf("inside the batch the head is %d", got.Seq)
		}
		_, _ = b.Append(time.Now(), research.Judged{Trial: 50})
		return nil
	})
	if err == nil {
		t.Error("a batch with a misfit was accepted")
	}
	if got := must(store.Head())(t); got != head {
		t.Errorf("the head moved to %v", got)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := store.Append(canceled, research.Stopped{}); !errors.Is(err, context.Canceled) {
		t.Errorf("append after the end of its context: %v", err)
	}
}
