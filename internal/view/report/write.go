package report

import (
	"embed"
	"html/template"
	"io"
	"strings"
	text "text/template"

	"mendel/internal/view/terminal"
)

//go:embed page.html run.html study.html run.md study.md
var templates embed.FS

// HTML writes the report as one page.
func (r Run) HTML(w io.Writer) error { return page(w, "run.html", r) }

// Markdown writes the report as text.
func (r Run) Markdown(w io.Writer) error { return markdown(w, "run.md", r) }

func page(w io.Writer, body string, data any) error {
	t, err := template.ParseFS(templates, "page.html", body)
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, "page.html", data)
}

func markdown(w io.Writer, name string, data any) error {
	t, err := text.New(name).Funcs(text.FuncMap{"cell": cell, "line": line, "fence": fence}).ParseFS(templates, name)
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}

// line puts a text that a model may have written on one line, without what could be taken for markup.
func line(s string) string {
	s = terminal.Printable(strings.Join(strings.Fields(s), " "))
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "<", "&lt;", "*", `\*`, "_", `\_`, "#", `\#`, "[", `\[`, "!", `\!`).Replace(s)
}

// cell is a line inside of a table.
func cell(s string) string { return strings.ReplaceAll(line(s), "|", `\|`) }

// fence shows a diff as code, inside of more backticks than it holds.
func fence(lines []DiffLine) string {
	longest, run := 2, 0
	var b strings.Builder
	for _, l := range lines {
		for _, r := range l.Text {
			if r == '`' {
				run++
			} else {
				run = 0
			}
			longest = max(longest, run)
		}
		b.WriteString(l.Text + "\n")
	}
	marks := strings.Repeat("`", longest+1)
	return marks + "diff\n" + b.String() + marks
}
