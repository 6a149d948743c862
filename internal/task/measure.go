package task

import (
	"fmt"
	"regexp"
	"strings"
)

// A Term is one summand of what the harness measures.
type Term struct {
	Func string // wall, cpu (seconds of a phase) or bytes
	Of   string // a phase, or artifact or code
}

var termPattern = regexp.MustCompile(`^([a-z]+)\(\s*([A-Za-z0-9_-]+)\s*\)$`)

// ParseMeasure reads a sum such as wall(train) + wall(evaluate). Its terms share one unit:
// either seconds or bytes.
func ParseMeasure(measure string) ([]Term, error) {
	var terms []Term
	for part := range strings.SplitSeq(measure, "+") {
		part = strings.TrimSpace(part)
		m := termPattern.FindStringSubmatch(part)
		if m == nil {
			return nil, fmt.Errorf("%q is not a term: write wall(PHASE), cpu(PHASE), bytes(artifact) or bytes(code), joined by +", part)
		}
		t := Term{Func: m[1], Of: m[2]}
		switch t.Func {
		case "wall", "cpu":
		case "bytes":
			if t.Of != "artifact" && t.Of != "code" {
				return nil, fmt.Errorf("bytes(%s): only bytes(artifact) and bytes(code) are measured", t.Of)
			}
		default:
			return nil, fmt.Errorf("the harness does not measure %s(…): it knows wall, cpu and bytes", t.Func)
		}
		if len(terms) > 0 && t.unit() != terms[0].unit() {
			return nil, fmt.Errorf("seconds and bytes cannot be added")
		}
		terms = append(terms, t)
	}
	return terms, nil
}

func (t Term) unit() string {
	if t.Func == "bytes" {
		return "B"
	}
	return "s"
}
