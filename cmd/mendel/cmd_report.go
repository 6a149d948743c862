package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
	"mendel/internal/view/report"
	"mendel/internal/view/study"
)

func reportCommand() *cobra.Command {
	var state, out string
	c := &cobra.Command{
		Use:   "report [RUN | STUDY]",
		Short: "Write a run or a study as one page: what was asked, found, changed and spent",
		Long: `Writes a self-contained page that can be read offline, printed and passed on: what was asked, what
was found and how far it can be believed, the curve, the lineage, every kept diff with its hypothesis
and measured effect, near misses and their repairs, outcomes by role, costs, isolation, and how to check
and repeat it. A name that ends in .md gives the same as Markdown.`,
		Example: `  mendel report -o report.html
  mendel report runs/golf-cpu-2026-11-23-1 -o golf.md
  mendel report my-study -o study.html`,
		Args: between(0, 1, "at most one run or study"),
		RunE: func(_ *cobra.Command, args []string) error {
			markdown, err := wantsMarkdown(out)
			if err != nil {
				return err
			}
			doc, err := reported(append(args, state)...)
			if err != nil {
				return err
			}
			write := doc.HTML
			if markdown {
				write = doc.Markdown
			}
			var text bytes.Buffer
			if err := write(&text); err != nil {
				return err
			}
			if out == "-" {
				_, err := os.Stdout.Write(text.Bytes())
				return err
			}
			if err := os.WriteFile(out, text.Bytes(), 0o644); err != nil {
				return err
			}
			fmt.Println(out)
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().StringVarP(&out, "output", "o", "report.html", "the file, .html or .md; - prints the page")
	return c
}

// A document can be written both ways.
type document interface {
	HTML(io.Writer) error
	Markdown(io.Writer) error
}

func wantsMarkdown(out string) (bool, error) {
	switch strings.ToLower(filepath.Ext(out)) {
	case ".md", ".markdown":
		return true, nil
	case ".html", ".htm":
		return false, nil
	}
	if out == "-" {
		return false, nil
	}
	return false, research.Hinted(usageError{fmt.Errorf("--output %s: what kind of file is that?", out)}, "a name that ends in .html or .md")
}

// reported is the report of the run or study that was named.
func reported(named ...string) (document, error) {
	if isStudy(named[0]) {
		s, err := loadStudy(named[0])
		if err != nil {
			return nil, err
		}
		found, err := compareStudy(s)
		if err != nil {
			return nil, err
		}
		return report.OfStudy(found, programVersion()), nil
	}
	dir, r, err := openRun(named...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return report.OfRun(r, dir, programVersion())
}

func isStudy(name string) bool {
	if filepath.Ext(name) == ".yaml" {
		return true
	}
	if _, err := os.Stat(filepath.Join(name, lineage.FileName)); err == nil {
		return false
	}
	_, err := os.Stat(filepath.Join(name, study.FileName))
	return err == nil && name != ""
}
