package study

import (
	_ "embed"
	"strings"
)

//go:embed study.yaml.txt
var scaffold string

// Scaffold is a study.yaml that runs, with a comment at every key.
func Scaffold(name, task string) string {
	return strings.NewReplacer("NAME", name, "TASK", task).Replace(scaffold)
}
