package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mendel/internal/measure/bundle"
	"mendel/internal/research"
)

// A seedRecord is what one seed established; a value that is missing was not measured.
type seedRecord struct {
	wall      map[string]float64 // seconds of each phase that ended by itself
	cpu       map[string]float64
	artifact  float64 // bytes
	collected bool    // the artifact was
	// The artifact so far: where it lies, the size of each file, and the globs that something fits.
	artifactDir string
	files       map[string]int64
	fits        map[string]bool
	evaluator   map[string]float64
	logs        map[string][]byte // by phase, of the phases that run the recipe
}

func newSeedRecord() *seedRecord {
	return &seedRecord{
		wall: map[string]float64{}, cpu: map[string]float64{},
		files: map[string]int64{}, fits: map[string]bool{},
		evaluator: map[string]float64{}, logs: map[string][]byte{},
	}
}

// add takes in what one more phase left. A later file replaces an earlier one of the same name.
func (s *seedRecord) add(c collection) {
	maps.DeleteFunc(s.files, func(name string, _ int64) bool { return c.covers(name) })
	maps.Copy(s.files, c.files)
	maps.Copy(s.fits, c.found)
	if len(c.replaced) > 0 {
		maps.DeleteFunc(s.fits, func(glob string, _ bool) bool {
			for name := range s.files {
				if matches(path.Clean(glob), name) {
					return false
				}
			}
			return true
		})
	}
}

func (s *seedRecord) artifactBytes() float64 {
	var total int64
	for _, n := range s.files {
		total += n
	}
	return float64(total)
}

// metric gives the value that one seed has for a metric.
func (s *seedRecord) metric(name string, m bundle.Metric, codeBytes float64) (float64, bool) {
	switch m.Source {
	case research.FromHarness:
		return s.measure(m.Measure, codeBytes)
	case research.FromEvaluator:
		v, ok := s.evaluator[name]
		return v, ok
	case research.FromRecipeLog:
		if m.Measure != "" { // of a part, whose bounds the recipe prints
			return s.measure(m.Measure, codeBytes)
		}
		return printed(s.logs[m.Phase], m.Pattern, m.Take)
	}
	return 0, false
}

var termPattern = regexp.MustCompile(`^\s*([a-z]+)\(\s*([^()\s]+)\s*\)\s*$`)

// measure evaluates a sum such as wall(train) + wall(evaluate).
func (s *seedRecord) measure(sum string, codeBytes float64) (float64, bool) {
	total := 0.0
	for term := range strings.SplitSeq(sum, "+") {
		m := termPattern.FindStringSubmatch(term)
		if m == nil {
			return 0, false
		}
		var v float64
		ok := true
		switch f, of := m[1], m[2]; {
		case f == "wall":
			v, ok = s.wall[of]
		case f == "cpu":
			v, ok = s.cpu[of]
		case f == "bytes" && of == "artifact":
			v, ok = s.artifact, s.collected
		case f == "bytes" && of == "code":
			v = codeBytes
		default:
			ok = false
		}
		if !ok {
			return 0, false
		}
		total += v
	}
	return total, true
}

// printed finds the number that a recipe reported about itself.
func printed(log []byte, pattern, take string) (float64, bool) {
	re, err := regexp.Compile(pattern)
	if err != nil || re.NumSubexp() != 1 {
		return 0, false
	}
	found := re.FindAllSubmatch(log, -1)
	if len(found) == 0 {
		return 0, false
	}
	m := found[len(found)-1]
	if take == "first" {
		m = found[0]
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// aggregateMetrics joins the seeds. A metric that not every seed has was not measured: a mean over the
// seeds that went well would be a number about another thing.
func aggregateMetrics(plan *bundle.Plan, seeds []*seedRecord, want int, codeBytes float64) map[string]research.MetricValue {
	metrics := map[string]research.MetricValue{}
	for name, m := range plan.Metrics {
		var values []float64
		for _, s := range seeds {
			if v, ok := s.metric(name, m, codeBytes); ok {
				values = append(values, v)
			}
		}
		if m.Measure == "bytes(code)" && len(values) == 0 {
			values = slices.Repeat([]float64{codeBytes}, want) // known before anything runs
		}
		if len(values) == 0 || len(values) < want && !upperBound(m) {
			continue
		}
		v := aggregated(values, m)
		if math.IsInf(v, 0) || math.IsNaN(v) {
			continue
		}
		metrics[name] = research.MetricValue{Value: v, Seeds: values, Unit: m.Unit, Source: m.Source}
	}
	return metrics
}

// upperBound says that more seeds could only raise the metric, so that one that is beyond a
// limit already tells the end.
func upperBound(m bundle.Metric) bool {
	return strings.Contains(m.Measure, "bytes(") && (m.Aggregate == "" || m.Aggregate == "max")
}

func aggregated(values []float64, m bundle.Metric) float64 {
	how := m.Aggregate
	if how == "" && strings.Contains(m.Measure, "bytes(") {
		how = "max"
	}
	switch how {
	case "max":
		return slices.Max(values)
	case "min":
		return slices.Min(values)
	case "last":
		return values[len(values)-1]
	}
	// The mean of n values as sum/n, not by increments: the same seeds give the same bits.
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

const (
	resultName = "result.json"
	maxResult  = 1 << 20
)

// readResult reads what the evaluator wrote: one JSON object of finite numbers. known are the
// values of metrics that the task declares; others lists the names that it does not.
func readResult(dir string, plan *bundle.Plan) (known map[string]float64, others []string, err error) {
	f, err := os.OpenFile(filepath.Join(dir, resultName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errors.New("it wrote no result")
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxResult+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxResult {
		return nil, nil, fmt.Errorf("its result is larger than %d bytes", maxResult)
	}
	var values map[string]*float64
	if err := json.Unmarshal(data, &values); err != nil || values == nil {
		return nil, nil, errors.New("its result is not a JSON object of numbers")
	}
	known = map[string]float64{}
	for name, v := range values {
		m, declared := plan.Metrics[name]
		switch {
		case v == nil:
			return nil, nil, errors.New("its result is not a JSON object of numbers")
		case declared && m.Source == research.FromEvaluator:
			known[name] = *v
		default:
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return known, others, nil
}
