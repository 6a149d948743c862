package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mendel/internal/measure/bundle"
	"mendel/internal/measure/environ"
)

// Environment prepares what an attempt's processes will see of this host, so that the first
// attempt need not, and says in one line what that is. What is missing is an error with a hint.
func Environment(ctx context.Context, spec bundle.Spec) (string, error) {
	e, err := environ.Resolve(ctx, environmentRequest(&spec), spec.CacheDir)
	if err != nil {
		return "", err
	}
	var parts []string
	if e.Python != "" {
		parts = append(parts, "python "+e.PythonVersion)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Packages)) {
		parts = append(parts, strings.TrimSpace(name+" "+e.Packages[name]))
	}
	if n := len(e.Programs); n > 0 {
		parts = append(parts, fmt.Sprintf("%d programs", n))
	}
	return strings.Join(parts, ", "), nil
}
