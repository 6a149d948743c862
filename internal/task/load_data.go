package task

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func (l *loader) data() {
	certified := false
	for _, name := range slices.Sorted(maps.Keys(l.raw.Data)) {
		raw := l.raw.Data[name]
		at := join("data", name)
		if !entryName.MatchString(name) {
			l.fail(at, "write letters, digits, _, - and .: it becomes /data/NAME", "%q is not a name for data", name)
		}
		d := Data{Name: name, VisibleTo: raw.VisibleTo}
		l.readers(at, d)
		certified = certified || d.forCertifier()
		d.Path = l.dataPath(at, raw, d.forCertifier())
		l.task.Data = append(l.task.Data, d)
	}
	l.overlaps()
	if !certified && len(l.raw.Data) > 0 && !l.raw.Score.SelfReported { // which nothing certifies
		l.warn("data", "add an entry with `visible_to: [certifier]`, which the search never sees", "there is no data to certify a finding with")
	}
}

// readers checks who may see data: what the evaluator or the certifier sees is held out, so that
// no phase may see it.
func (l *loader) readers(at string, d Data) {
	if l.doc.has(at+".visible_to") && len(d.VisibleTo) == 0 {
		l.fail(at+".visible_to", "name phases, or evaluator, or certifier; or remove the entry", "%s: nobody sees it", at)
	}
	for i, reader := range d.VisibleTo {
		where := fmt.Sprintf("%s.visible_to[%d]", at, i)
		switch reader {
		case ForEvaluator, ForCertifier:
			if len(d.VisibleTo) > 1 {
				l.fail(where, "make two entries of different files: one for the phases, one held out", "%s: data that the %s sees is held out, and nobody else may see it", at, reader)
			}
		default:
			names := []string{ForEvaluator, ForCertifier}
			for _, p := range l.raw.Phases {
				names = append(names, p.Name)
			}
			if !slices.Contains(names, reader) {
				l.fail(where, known(reader, names), "%s: there is no phase %q", where, reader)
			}
		}
	}
}

func (d Data) forCertifier() bool { return slices.Contains(d.VisibleTo, ForCertifier) }

// heldOut says whether the recipe must never see it.
func (d Data) heldOut() bool {
	return d.forCertifier() || slices.Contains(d.VisibleTo, ForEvaluator)
}

func (l *loader) dataPath(at string, raw dataSection, forCertifier bool) string {
	if raw.Path == "" && !l.doc.has(at+".path") {
		return "" // the site file says where it is
	}
	if !l.given(at+".path", raw.Path) || !l.local(at+".path", raw.Path) {
		return ""
	}
	full := filepath.Join(l.dir, filepath.FromSlash(raw.Path))
	if _, err := os.Stat(full); errors.Is(err, fs.ErrNotExist) && forCertifier {
		l.warn(at+".path", "the search runs without it; only a certificate needs it", "%s: %s does not exist", at, raw.Path)
		return full
	}
	full, ok := l.inside(at+".path", raw.Path, false)
	if !ok {
		return ""
	}
	if within(full, l.task.Recipe.Dir) || within(l.task.Recipe.Dir, full) {
		l.fail(at+".path", "put it beside the recipe's directory", "%s: data lies in the recipe's directory, so that every phase would see it", at)
	}
	return full
}

// overlaps refuses held-out data that another entry, with other readers, contains.
func (l *loader) overlaps() {
	for _, held := range l.task.Data {
		for _, other := range l.task.Data {
			if !held.heldOut() || other.Name == held.Name || held.Path == "" || other.Path == "" || slices.Equal(held.VisibleTo, other.VisibleTo) {
				continue
			}
			if within(held.Path, other.Path) || !other.heldOut() && within(other.Path, held.Path) {
				l.fail(join("data", held.Name)+".path", "give each its own directory", "data.%s lies in the same place as data.%s, which others may see", held.Name, other.Name)
			}
		}
	}
}
