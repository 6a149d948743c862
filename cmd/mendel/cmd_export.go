package main

import (
	"bytes"
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
		Short: "Write a run as TSV, JSON lines or a git repository",
		Long: `Writes a run in a form that other tools read:

  tsv    one row a trial, in the shape of the paper's results.tsv; margins has the slack of every
         limit and gate, near_miss what stopped a score that beat the incumbent
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
			if format == "git" {
				if out == "" {
					out = filepath.Clean(dir) + ".git"
				}
				return exportGit(c, r, out)
			}
			write := map[string]func(io.Writer) error{"tsv": r.ExportTSV, "jsonl": r.ExportJSONL}[format]
			if write == nil {
				return usageError{fmt.Errorf("--format %s: want tsv, jsonl or git", format)}
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
	c.Flags().StringVar(&format, "format", "tsv", "tsv, jsonl or git")
	c.Flags().StringVarP(&out, "output", "o", "", "file, or directory for git (default: standard output, or DIR.git)")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"tsv", "jsonl", "git"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// exportGit pipes the lineage into git fast-import.
func exportGit(c *cobra.Command, r *lineage.Reader, out string) error {
	if entries, err := os.ReadDir(out); err == nil && len(entries) > 0 {
		return research.Hinted(fmt.Errorf("%s exists and is not empty", out), "choose another directory with --output")
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
