package task

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mendel/internal/research"
)

// A Fault reports what is wrong at a path of a YAML file, such as "arms.with.seed".
type Fault func(path, hint, format string, args ...any)

// ReadYAML reads a YAML file that stands beside tasks into a struct whose json tags name the keys
// and whose jsonschema tags explain them, as strictly as task.yaml is read. Then check looks at the
// values. When the file is at fault, the error is [Problems].
func ReadYAML(file string, into any, check func(Fault)) error {
	source, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return research.Hinted(fmt.Errorf("%s: there is no such file", file), "correct its name")
	}
	if err != nil {
		return err
	}
	l := &loader{doc: decode(file, source, into)}
	if len(l.doc.problems) == 0 {
		check(l.fail)
	}
	if problems := append(l.doc.problems, l.problems...); len(problems) > 0 {
		return problems.sorted()
	}
	return nil
}
