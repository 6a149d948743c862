package runner

import (
	"path"
	"strings"
)

// matches says whether a slash-separated path fits a glob: path.Match for each segment, and **
// for any number of segments.
func matches(glob, name string) bool {
	return matchSegments(strings.Split(glob, "/"), strings.Split(name, "/"))
}

func matchSegments(glob, name []string) bool {
	if len(glob) == 0 {
		return len(name) == 0
	}
	if glob[0] == "**" {
		return matchSegments(glob[1:], name) || len(name) > 0 && matchSegments(glob, name[1:])
	}
	if len(name) == 0 {
		return false
	}
	ok, err := path.Match(glob[0], name[0])
	return ok && err == nil && matchSegments(glob[1:], name[1:])
}

func matchesAny(globs []string, name string) bool {
	for _, g := range globs {
		if matches(g, name) {
			return true
		}
	}
	return false
}

// wild says whether a glob can fit more than one name.
func wild(glob string) bool { return strings.ContainsAny(glob, `*?[\`) }
