package task

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"mendel/internal/research"
)

func (l *loader) artifact() {
	raw := l.raw.Artifact
	l.task.Artifact = Artifact(raw)
	for i, glob := range raw.Files {
		at := fmt.Sprintf("artifact.files[%d]", i)
		if strings.HasPrefix(glob, "/") || strings.HasPrefix(path.Clean(glob), "..") {
			l.fail(at, "write it relative to MENDEL_OUT, where training leaves it", "%s: %q is not below MENDEL_OUT", at, glob)
			continue
		}
		l.glob(at, glob)
	}
	if l.doc.has("artifact") && len(raw.Files) == 0 && !raw.CountsCode {
		l.fail("artifact", "name the files that training leaves, or write `counts_code: true`", "artifact: nothing is counted")
	}
}

// cache checks that nothing but the tree can get into what trials share between their phases.
func (l *loader) cache() {
	raw := l.raw.Cache
	if raw == nil {
		return
	}
	for i, glob := range raw.Files {
		l.glob(fmt.Sprintf("cache.files[%d]", i), glob)
	}
	l.task.Cache = &Cache{From: raw.From, Files: raw.Files}
	if !l.given("cache.from", raw.From) {
		return
	}
	i := slices.IndexFunc(l.raw.Phases, func(p phaseSection) bool { return p.Name == raw.From })
	switch {
	case i < 0:
		l.knownPhase("cache.from", raw.From)
	case !l.raw.Phases[i].Once || l.raw.Phases[i].Trusted:
		l.fail("cache.from", "write `once: true` for that phase", "cache.from: %s does not run the recipe once, before everything else", raw.From)
	}
	for _, d := range l.task.Data {
		if slices.Contains(d.VisibleTo, raw.From) {
			l.fail("cache.from", fmt.Sprintf("take %s out of data.%s.visible_to", raw.From, d.Name),
				"cache.from: %s sees data.%s, so that a recipe could train there and take the result past the clock", raw.From, d.Name)
		}
	}
}

func (l *loader) metrics() {
	l.task.Metrics = make(map[string]Metric, len(l.raw.Metrics))
	for _, name := range slices.Sorted(maps.Keys(l.raw.Metrics)) {
		at := join("metrics", name)
		if !entryName.MatchString(name) {
			l.fail(at, "write letters, digits, _, - and .", "%q is not a metric's name", name)
		}
		l.task.Metrics[name] = l.metric(at, l.raw.Metrics[name])
	}
	if l.doc.has("metrics") && len(l.raw.Metrics) == 0 {
		l.fail("metrics", "add at least the score and the artifact's size", "metrics: nothing is measured")
	}
}

func (l *loader) metric(at string, raw metricEntry) Metric {
	m := Metric{Source: raw.Source, Unit: raw.Unit, Measure: raw.Measure, Aggregate: string(raw.Aggregate), Pattern: raw.Pattern, Phase: raw.Phase, Take: string(raw.Take)}
	keys := map[string][]research.Source{
		"measure": {research.FromHarness, research.FromRecipeLog},
		"pattern": {research.FromRecipeLog}, "phase": {research.FromRecipeLog}, "take": {research.FromRecipeLog},
	}
	for key, sources := range keys {
		if raw.Source != "" && l.doc.has(at+"."+key) && !slices.Contains(sources, raw.Source) {
			l.fail(at+"."+key, "remove it, or correct the source", "%s.%s goes with source %s, not %s", at, key, sources[0], raw.Source)
		}
	}
	switch raw.Source {
	case research.FromHarness:
		l.harnessMetric(at, &m)
	case research.FromEvaluator:
		if !slices.ContainsFunc(l.raw.Phases, func(p phaseSection) bool { return len(p.Evaluator) > 0 || p.Trusted }) {
			l.fail(at+".source", "add a phase with `evaluator` and `subject`, or one with `trusted: true`", "%s: no phase has an evaluator that could establish it", at)
		}
	case research.FromRecipeLog:
		if l.doc.has(at + ".measure") {
			l.harnessMetric(at, &m)
		} else {
			l.logMetric(at, &m)
		}
	}
	m.Aggregate = orDefault(m.Aggregate, "mean")
	return m
}

func (l *loader) harnessMetric(at string, m *Metric) {
	if !l.given(at+".measure", m.Measure) {
		if !l.doc.has(at + ".measure") {
			l.fail(at, "add `measure: wall(train)`, or a sum of wall(PHASE), cpu(PHASE), bytes(artifact), bytes(code)", "%s: what is the harness to measure?", at)
		}
		return
	}
	terms, err := ParseMeasure(m.Measure)
	if err != nil {
		l.fail(at+".measure", "", "%s.measure: %v", at, err)
		return
	}
	for _, t := range terms {
		if t.unit() == "s" || m.Source == research.FromRecipeLog {
			l.timed(at, m.Source, t)
		}
	}
	unit := terms[0].unit()
	if m.Unit != "" && m.Unit != unit {
		l.fail(at+".unit", "write `unit: "+unit+"`", "%s.unit: the harness measures this in %s, not %s", at, unit, m.Unit)
	}
	m.Unit = unit
	if unit == "B" {
		m.Aggregate = orDefault(m.Aggregate, "max")
	}
}

func (l *loader) logMetric(at string, m *Metric) {
	m.Take = orDefault(m.Take, "last")
	if !l.doc.has(at + ".phase") {
		l.fail(at, "add `phase: NAME`", "%s: in which phase's output does the recipe print it?", at)
	} else if l.given(at+".phase", m.Phase) {
		l.knownPhase(at+".phase", m.Phase)
	}
	if !l.doc.has(at + ".pattern") {
		l.fail(at, `add a regular expression with one group: pattern: 'score: ([0-9.]+)'`, "%s: how is it found in the output?", at)
		return
	}
	l.oneGroup(l.doc, at+".pattern", m.Pattern)
}

// oneGroup checks a regular expression, and that it has exactly one group.
func (l *loader) oneGroup(d *document, at, pattern string) *regexp.Regexp {
	compiled, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		l.failIn(d, at, "Go's syntax of regular expressions holds; use single quotes in YAML so that \\ stays", "%s: %v", at, err)
		return nil
	}
	if n := compiled.NumSubexp(); n != 1 {
		l.failIn(d, at, "put ( ) around the value alone; (?: ) groups without counting", "%s: the pattern has %d groups, and one is wanted: the value", at, n)
		return nil
	}
	return compiled
}

// timed checks what a time is of. Where a part begins is the recipe's word, so that its time is
// self-reported; a whole phase's is the harness's.
func (l *loader) timed(at string, source research.Source, t Term) {
	var parts []string
	for _, p := range l.raw.Phases {
		for _, part := range p.Parts {
			parts = append(parts, part.Name)
		}
	}
	switch part := t.Func == "wall" && slices.Contains(parts, t.Of); {
	case part && source != research.FromRecipeLog:
		l.fail(at+".source", "write `source: recipe-log`", "%s: where %s begins is what the recipe prints, so that its time is self-reported", at, t.Of)
	case !part && source == research.FromRecipeLog:
		l.fail(at+".measure", known(t.Of, parts), "%s: %s is no part of a phase; only a part's time depends on what the recipe prints", at, t.Of)
	case !part:
		l.knownPhase(at+".measure", t.Of)
	}
}

func (l *loader) knownPhase(at, name string) {
	names := make([]string, len(l.raw.Phases))
	for i, p := range l.raw.Phases {
		names[i] = p.Name
	}
	if !slices.Contains(names, name) {
		l.fail(at, known(name, names), "%s: there is no phase %q", at, name)
	}
}

// known is a hint for a name that is not among the known ones.
func known(name string, names []string) string {
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	if len(names) == 0 {
		return ""
	}
	return "there are: " + enumerate(names, 10)
}

func (l *loader) knownMetric(at, name string) bool {
	if !l.given(at, name) {
		return false
	}
	if _, ok := l.raw.Metrics[name]; !ok {
		l.fail(at, known(name, slices.Sorted(maps.Keys(l.raw.Metrics))), "%s: there is no metric %q", at, name)
		return false
	}
	return true
}

func (l *loader) score() {
	raw := l.raw.Score
	m := l.task.Metrics[raw.Metric]
	l.task.Score = research.ScoreRule{Metric: raw.Metric, Unit: m.Unit, Direction: raw.Direction, SelfReported: m.Source == research.FromRecipeLog}
	if !l.knownMetric("score.metric", raw.Metric) {
		return
	}
	switch self := m.Source == research.FromRecipeLog; {
	case self && !raw.SelfReported:
		l.fail("score.metric", "add `self_reported: true` to score, so that everybody sees it, or let an evaluator establish it",
			"score: the recipe prints its own score (%s has source recipe-log)", raw.Metric)
	case !self && raw.SelfReported:
		l.fail("score.self_reported", "remove it", "score: %s is established by the %s, not by the recipe", raw.Metric, m.Source)
	case self:
		l.warn("score.self_reported", "an evaluator that asks the recipe would make it hold; a self-reported score can never be certified",
			"the score is self-reported: a recipe can print any number")
	}
}

func (l *loader) limits() {
	capped := false
	for i, raw := range l.raw.Limits {
		at := fmt.Sprintf("limits[%d]", i)
		if !l.knownMetric(at+".metric", raw.Metric) {
			continue
		}
		m := l.task.Metrics[raw.Metric]
		bytes := m.Source == research.FromHarness && m.Unit == "B"
		capped = capped || bytes && strings.Contains(m.Measure, "bytes(artifact)")
		outcome := raw.OnExceed
		if outcome == "" && bytes {
			outcome = exceedOutcome(research.SizeBlocked)
		}
		if outcome == "" {
			l.fail(at, "add `on_exceed: …`, one of "+strings.Join(closedSetOf[exceedOutcome](), ", "), "%s: what does exceeding %s make of a trial?", at, raw.Metric)
		}
		l.bound(at, research.Bound{Name: raw.Metric, Metric: raw.Metric, Unit: m.Unit, Max: raw.Max, Outcome: research.Outcome(outcome)})
	}
	if !capped && l.doc.has("limits") {
		l.fail("limits", "add a metric `artifact_bytes: {source: harness, measure: bytes(artifact)}` and the limit `{metric: artifact_bytes, max: 1000000}`",
			"limits: nothing caps the artifact, which could carry anything from training to evaluation")
	}
}

func (l *loader) gates() {
	for i, raw := range l.raw.Gates {
		at := fmt.Sprintf("gates[%d]", i)
		if !l.knownMetric(at+".metric", raw.Metric) {
			continue
		}
		if (raw.Min == nil) == (raw.Max == nil) {
			l.fail(at, "write either `min` or `max`; two gates make a range", "%s: a gate has one threshold", at)
			continue
		}
		l.bound(at, research.Bound{
			Name: raw.Metric, Gate: true, Metric: raw.Metric, Unit: l.task.Metrics[raw.Metric].Unit, Min: raw.Min, Max: raw.Max,
			Outcome: orDefault(research.Outcome(raw.OnMiss), research.Disqualified),
		})
	}
}

// bound adds a bound under a name that no other has.
func (l *loader) bound(at string, b research.Bound) {
	same := func(o research.Bound) bool {
		return o.Metric == b.Metric && (o.Max == nil) == (b.Max == nil)
	}
	if slices.ContainsFunc(l.task.Bounds, same) {
		l.fail(at, "keep the stricter one", "%s: %s is already bounded on that side", at, b.Metric)
		return
	}
	taken := func(o research.Bound) bool { return o.Name == b.Name }
	if slices.ContainsFunc(l.task.Bounds, taken) {
		b.Name += map[bool]string{true: " max", false: " min"}[b.Max != nil]
	}
	l.task.Bounds = append(l.task.Bounds, b)
}

func (l *loader) certificate() {
	raw := l.raw.Certificate
	if raw == nil {
		return
	}
	l.task.Certificate = &research.CertificatePlan{Margin: raw.Margin, N: raw.N, Alpha: raw.Alpha}
	if l.task.Score.SelfReported && l.raw.Score.SelfReported {
		l.fail("certificate", "remove it, or let an evaluator establish the score", "certificate: a self-reported score is never certified")
	}
	if raw.Margin <= 0 {
		l.fail("certificate.margin", "write the least gain that you would call an improvement", "certificate.margin: %v is not above 0", raw.Margin)
	}
	if raw.N < 1 || raw.N > 10_000 {
		l.fail("certificate.n", "", "certificate.n: %d is not between 1 and 10000", raw.N)
	}
	if raw.Alpha <= 0 || raw.Alpha >= 0.5 {
		l.fail("certificate.alpha", "0.05 is usual", "certificate.alpha: %v is not between 0 and 0.5", raw.Alpha)
	}
}
