package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/research"
)

func exportCommand() *cobra.Command {
	var state, format, out string
	c := &cobra.Command{
		Use:   "export [DIR]",
		Short: "Write a run as tables, JSON lines or a git repository",
		Long: `Writes a run in a form that other tools read:

  tsv    one row a trial, in the shape of the paper's results.tsv; margins has the slack of every
         limit and gate, near_miss what stopped a score that beat the incumbent
  record a directory with results.tsv, tree.tsv and best.json, which mendel import reads
  jsonl  one JSON object a trial, with margins, metrics and verdict
  git    a repository in which every trial is a commit on its parent, with verdict and
         margins as a note; look at it with: git log --graph --all --notes=verdicts`,
		Args: between(0, 1, "at most one directory"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, r, err := openRun(append(args, state)...)
			if err != nil {
				return err
			}
			defer r.Close()
			switch format {
			case "git":
				return exportGit(c, r, cmp.Or(out, filepath.Clean(dir)+".git"))
			case "record":
				return exportRecord(r, cmp.Or(out, filepath.Clean(dir)+".record"))
			}
			write := map[string]func(io.Writer) error{"tsv": r.ExportTSV, "jsonl": r.ExportJSONL}[format]
			if write == nil {
				return usageError{fmt.Errorf("--format %s: want tsv, record, jsonl or git", format)}
			}
			if out == "" {
				return write(os.Stdout)
			}
			var text bytes.Buffer
			if err := write(&text); err != nil {
				return err
			}
			return os.WriteFile(out, text.Bytes(), 0o644)
		},
	}
	stateFlag(c, &state)
	c.Flags().StringVar(&format, "format", "tsv", "tsv, record, jsonl or git")
	c.Flags().StringVarP(&out, "output", "o", "", "file, or directory for record and git (default: standard output, DIR.record or DIR.git)")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"tsv", "record", "jsonl", "git"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// exportRecord writes the files of a published record into a directory.
func exportRecord(r *lineage.Reader, out string) error {
	if err := unused(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	return r.Snapshot(func(r *lineage.Reader) error {
		for name, write := range map[string]func(io.Writer) error{"results.tsv": r.ExportTSV, "tree.tsv": r.ExportTree, "best.json": r.ExportBest} {
			var text bytes.Buffer
			if err := write(&text); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(out, name), text.Bytes(), 0o644); err != nil {
				return err
			}
		}
		fmt.Printf("%s: results.tsv, tree.tsv and best.json\n", out)
		return nil
	})
}

// unused refuses a directory that holds something.
func unused(out string) error {
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return research.Hinted(fmt.Errorf("%s exists and is not empty", out), "choose another directory with --output")
	}
	return nil
}

// exportGit pipes the lineage into git fast-import.
func exportGit(c *cobra.Command, r *lineage.Reader, out string) error {
	if err := unused(out); err != nil {
		return err
	}
	if _, err := exec.LookPath("git"); err != nil {
		return research.Hinted(fmt.Errorf("git is not installed"), "--format jsonl needs no other program")
	}
	var said bytes.Buffer
	git := func(stdin io.Reader, args ...string) error {
		cmd := exec.CommandContext(c.Context(), "git", args...)
		cmd.Stdin, cmd.Stderr = stdin, &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(said.Bytes()))
		}
		return nil
	}
	if err := git(nil, "init", "--quiet", "--initial-branch=main", out); err != nil {
		return err
	}
	pr, pw := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		err := r.ExportGit(pw)
		pw.CloseWithError(err)
		wrote <- err
	}()
	importErr := git(pr, "-C", out, "fast-import", "--quiet")
	pr.Close()
	if err := <-wrote; err != nil {
		return err
	}
	if importErr != nil {
		return importErr
	}
	if err := git(nil, "-C", out, "checkout", "--quiet", "main"); err != nil {
		return err
	}
	fmt.Printf("%s: every trial is a commit\n  git -C %s log --graph --all --oneline --notes=verdicts\n", out, out)
	return nil
}
