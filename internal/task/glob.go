package task

import (
	"path"
	"strings"
)

// Globs are matched segment by segment, as path.Match does; a segment ** stands for any number
// of segments, also none.

func matchGlob(glob, file string) bool {
	return matchSegments(strings.Split(glob, "/"), strings.Split(file, "/"))
}

func matchSegments(glob, file []string) bool {
	// starred is where to go on when the rest after the newest ** does not fit.
	starred, from := -1, 0
	g, f := 0, 0
	for f < len(file) {
		if g < len(glob) && glob[g] == "**" {
			starred, from = g, f
			g++
			continue
		}
		if g < len(glob) {
			if ok, err := path.Match(glob[g], file[f]); err == nil && ok {
				g, f = g+1, f+1
				continue
			}
		}
		if starred < 0 {
			return false
		}
		from++
		g, f = starred+1, from
	}
	for g < len(glob) && glob[g] == "**" {
		g++
	}
	return g == len(glob)
}

func matchAny(globs []string, file string) bool {
	for _, g := range globs {
		if matchGlob(g, file) {
			return true
		}
	}
	return false
}

func validGlob(glob string) bool {
	for segment := range strings.SplitSeq(glob, "/") {
		if _, err := path.Match(segment, ""); err != nil {
			return false
		}
	}
	return true
}
