package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"mendel/internal/control"
	"mendel/internal/propose/tool"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

func sessionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "session",
		Short: "Look at sessions, or play one yourself, by hand or by script",
		Long: `A session is one specialist's episode: a workspace, a prompt, the tools, a submission. list and
show read the record of any run. The other verbs let a person, a script or an agent of yours play
a session of a run that was started with --proposer external: with the same tools, the same
prompt and the same limits as a model has.

Edit the files in the workspace directly or with edit_file; submit freezes them as a trial.`,
		Example: `  mendel run tasks/golf-cpu --proposer external --trials 20    in one terminal
  mendel session open arch                                     in others: id, workspace, prompt
  mendel session tool 3 list_trials --arg status=keep
  mendel session submit 3 --hypothesis "…" --expected-delta -0.02 --wait
  mendel session close 3`,
	}
	c.AddCommand(sessionOpenCommand(), sessionToolCommand(), sessionSubmitCommand(), sessionCloseCommand(),
		sessionListCommand(), sessionShowCommand())
	return verbs(c)
}

// dialRun reaches the supervisor of a run.
func dialRun(ctx context.Context, state string) (*control.Client, error) {
	dir, err := chosenRun(state)
	if err != nil {
		return nil, err
	}
	client, err := control.Dial(ctx, dir)
	if errors.Is(err, control.ErrNobody) {
		return nil, research.Hinted(fmt.Errorf("%s: %w", dir, err), "start one with `mendel run TASK --proposer external`, or go on with `mendel run --resume "+dir+"`")
	}
	return client, err
}

// withRun runs f with the supervisor of a run.
func withRun(c *cobra.Command, state string, f func(ctx context.Context, client *control.Client) error) error {
	client, err := dialRun(c.Context(), state)
	if err != nil {
		return err
	}
	return errors.Join(f(c.Context(), client), client.Close())
}

func sessionOpenCommand() *cobra.Command {
	var state string
	var asJSON bool
	c := &cobra.Command{
		Use:   "open ROLE",
		Short: "Open a session: prints its id, its workspace and its prompt",
		Args:  exactly(1, "one role or agent"),
		RunE: func(c *cobra.Command, args []string) error {
			return withRun(c, state, func(ctx context.Context, client *control.Client) error {
				opened, err := client.OpenSession(ctx, args[0])
				if err != nil {
					return err
				}
				warnUnconfined(opened)
				if asJSON {
					return writeJSON(opened)
				}
				fmt.Print(opened.Prompt)
				var tools []tool.Definition
				if err := json.Unmarshal(opened.Tools, &tools); err != nil {
					return err
				}
				names := make([]string, len(tools))
				for i, t := range tools {
					names[i] = t.Name
				}
				s := terminal.StyleFor(os.Stdout)
				fmt.Printf("\n%s for %s, from trial %s\nworkspace  %s\ntools      %s\nnext\n", s.Strong(fmt.Sprintf("session %d", opened.Session)),
					opened.Agent.Name, opened.Base, opened.Workspace, strings.Join(names, ", "))
				for _, line := range [][2]string{
					{"mendel session tool %d NAME --arg KEY=VALUE", "call a tool; `mendel session tool %d` describes them"},
					{"mendel session submit %d --hypothesis … --expected-delta …", "freeze the workspace as a trial"},
					{"mendel session close %d", "end"},
				} {
					fmt.Printf("  %-62s %s\n", fmt.Sprintf(line[0], opened.Session), strings.ReplaceAll(line[1], "%d", fmt.Sprint(opened.Session)))
				}
				return nil
			})
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON: session, agent, workspace, base, prompt, tools, lineage, confinement")
	return c
}

// warnUnconfined says what nobody holds back in an arm whose sessions must not see the history.
func warnUnconfined(opened control.Opened) {
	if opened.Lineage {
		return
	}
	fmt.Fprintf(os.Stderr, "mendel: warning: this arm hides the history, but nothing keeps whoever plays session %d from reading it on this disk (confinement: %s, as its trials record): use the workspace and the tools alone\n",
		opened.Session, opened.Confinement)
}

func sessionToolCommand() *cobra.Command {
	var state, raw string
	var pairs []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "tool ID [NAME]",
		Short: "Call a tool of an open session; without a name, describe the tools",
		Long: `Calls a tool of an open session. Values are text, or numbers where the tool wants numbers.
--arg KEY=@FILE takes the value from a file, @- from standard input, @@… is a text that begins
with @. Exit code 1 when the tool refuses the call; its answer says how to mend it.`,
		Example: `  mendel session tool 3                                  describe all tools
  mendel session tool 3 read_file --arg path=train.py
  mendel session tool 3 edit_file --arg path=train.py --arg old=@old.txt --arg new=@new.txt
  mendel session tool 3 await_trial --arg trial=007`,
		Args: between(1, 2, "a session's id and a tool's name"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := sessionID(args[0])
			if err != nil {
				return err
			}
			return withRun(c, state, func(ctx context.Context, client *control.Client) error {
				opened, err := client.Session(ctx, id)
				if err != nil {
					return err
				}
				var tools []tool.Definition
				if err := json.Unmarshal(opened.Tools, &tools); err != nil {
					return err
				}
				if len(args) == 1 {
					return describeTools(tools, asJSON)
				}
				arguments, err := toolArguments(tools, args[1], pairs, raw)
				if err != nil {
					return err
				}
				answer, err := callTool(ctx, client, id, args[1], arguments)
				if err != nil {
					return err
				}
				return printAnswer(answer, asJSON)
			})
		},
	}
	stateFlag(c, &state)
	c.Flags().StringArrayVar(&pairs, "arg", nil, "an argument, KEY=VALUE; repeat it for more")
	c.Flags().StringVar(&raw, "args", "", "all arguments as one JSON object; @FILE or @- reads it")
	c.Flags().BoolVar(&asJSON, "json", false, "the answer as JSON: text, data, is_error")
	return c
}

func sessionSubmitCommand() *cobra.Command {
	var state, hypothesis, notes, key, parent string
	var expected float64
	var wait, asJSON bool
	c := &cobra.Command{
		Use:   "submit ID",
		Short: "Freeze the workspace as a trial",
		Long: `Freezes the workspace of an open session as a trial, which spends one of the run's budget. A recipe
that was tried before is refused and costs nothing. Exit code 1 when the submission is refused.`,
		Example: `  mendel session submit 3 --hypothesis "Longer warm-up; may cost steps" --expected-delta -0.02 --wait`,
		Args:    exactly(1, "a session's id"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := sessionID(args[0])
			if err != nil {
				return err
			}
			for _, flag := range []string{"hypothesis", "expected-delta"} {
				if !c.Flags().Changed(flag) {
					return usageError{fmt.Errorf("--%s is needed: a trial states what it expects before it is measured", flag)}
				}
			}
			submission := map[string]any{"hypothesis": hypothesis, "expected_delta": expected}
			for name, value := range map[string]string{"notes": notes, "key": key, "parent": parent} {
				if value != "" {
					submission[name] = value
				}
			}
			return withRun(c, state, func(ctx context.Context, client *control.Client) error {
				answer, err := submit(ctx, client, id, submission, wait)
				if err != nil {
					return err
				}
				return printAnswer(answer, asJSON)
			})
		},
	}
	stateFlag(c, &state)
	flags := c.Flags()
	flags.StringVar(&hypothesis, "hypothesis", "", "what changes, why it should help, what it may cost")
	flags.Float64Var(&expected, "expected-delta", 0, "forecast of score minus the incumbent's score: below 0 when you expect it to fall")
	flags.StringVar(&notes, "notes", "", "anything that helps whoever reads this trial later")
	flags.StringVar(&key, "key", "", "any text; a call that repeats it gets the first call's trial instead of a second one")
	flags.StringVar(&parent, "parent", "", "the trial that the workspace is built on; it is known and may be left out")
	flags.BoolVar(&wait, "wait", false, "wait for the verdict and print it")
	flags.BoolVar(&asJSON, "json", false, "the answer as JSON")
	return c
}

// submit submits, and waits for the verdict when asked to.
func submit(ctx context.Context, client *control.Client, id research.SessionID, submission map[string]any, wait bool) (toolAnswer, error) {
	arguments, err := json.Marshal(submission)
	if err != nil {
		return toolAnswer{}, err
	}
	answer, err := callTool(ctx, client, id, "submit_trial", arguments)
	if err != nil || answer.IsError || !wait {
		return answer, err
	}
	var submitted tool.Submitted
	if err := json.Unmarshal(answer.Data, &submitted); err != nil {
		return answer, err
	}
	fmt.Fprintln(os.Stderr, "mendel: trial", submitted.Trial, "is submitted; waiting for its verdict")
	arguments, err = json.Marshal(map[string]string{"trial": submitted.Trial.String()})
	if err != nil {
		return answer, err
	}
	return callTool(ctx, client, id, "await_trial", arguments)
}

func sessionCloseCommand() *cobra.Command {
	var state string
	c := &cobra.Command{
		Use:   "close ID",
		Short: "End an open session; what it submitted is measured all the same",
		Args:  exactly(1, "a session's id"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := sessionID(args[0])
			if err != nil {
				return err
			}
			closed, err := closeSession(c.Context(), state, id)
			if err != nil {
				return err
			}
			names := make([]string, len(closed.Trials))
			for i, t := range closed.Trials {
				names[i] = t.String()
			}
			if len(names) == 0 {
				names = []string{"none"}
			}
			fmt.Printf("session %d is closed; its trials: %s\n", id, strings.Join(names, ", "))
			return nil
		},
	}
	stateFlag(c, &state)
	return c
}

// closeSession ends a session. One that the run has ended meanwhile, because its budget was used,
// is closed as wanted.
func closeSession(ctx context.Context, state string, id research.SessionID) (control.Closed, error) {
	client, err := dialRun(ctx, state)
	if err == nil {
		defer client.Close()
		var closed control.Closed
		if closed, err = client.CloseSession(ctx, id); err == nil {
			return closed, nil
		}
	}
	_, r, openErr := openRun(state)
	if openErr != nil {
		return control.Closed{}, err
	}
	defer r.Close()
	row, found, readErr := r.Session(id)
	if readErr != nil || !found || row.ClosedAt.IsZero() {
		return control.Closed{}, err
	}
	return control.Closed{Session: id, Trials: row.Trials}, nil
}

func sessionID(typed string) (research.SessionID, error) {
	n, err := strconv.ParseInt(typed, 10, 64)
	if err != nil || n < 1 {
		return 0, research.Hinted(usageError{fmt.Errorf("%q is not a session's id", typed)}, "`mendel session list` shows them")
	}
	return research.SessionID(n), nil
}

func sessionListCommand() *cobra.Command {
	var state string
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "The newest sessions: who, how it ended, what it cost",
		Args:  exactly(0, "no arguments"),
		RunE: func(_ *cobra.Command, _ []string) error {
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			sessions, err := r.Sessions(0, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(sessions)
			}
			terminal.WriteSessions(os.Stdout, sessions, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().IntVarP(&limit, "number", "n", 40, "how many")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return c
}

func sessionShowCommand() *cobra.Command {
	var state string
	var asJSON, withPrompt bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "What was said and done in a session, turn by turn",
		Args:  exactly(1, "a session's id"),
		RunE: func(_ *cobra.Command, args []string) error {
			id, err := sessionID(args[0])
			if err != nil {
				return err
			}
			_, r, err := openRun(state)
			if err != nil {
				return err
			}
			defer r.Close()
			row, found, err := r.Session(id)
			if err != nil {
				return err
			}
			if !found {
				return research.Hinted(fmt.Errorf("there is no session %d in this run", id), "`mendel session list` shows them")
			}
			transcript, err := r.Transcript(id)
			if err != nil {
				return err
			}
			switch {
			case withPrompt:
				text, err := r.Blob(row.Prompt)
				if err != nil {
					return err
				}
				_, err = os.Stdout.Write(text)
				return err
			case asJSON:
				_, err := os.Stdout.Write(transcript)
				return err
			}
			terminal.WriteSession(os.Stdout, row, transcript, terminal.StyleFor(os.Stdout))
			return nil
		},
	}
	stateFlag(c, &state)
	c.Flags().BoolVar(&asJSON, "json", false, "the transcript as it is stored: one JSON object a line")
	c.Flags().BoolVar(&withPrompt, "prompt", false, "the prompt that the session was given")
	return c
}
