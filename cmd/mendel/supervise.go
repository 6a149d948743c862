package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mendel/internal/control"
	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// supervise runs a search, with someone watching, to its end.
func supervise(c *cobra.Command, dir string, store *lineage.Store, t *taskPackage, bench *workbench, hired *company, f runFlags, resumed bool) (err error) {
	defer func() { err = errors.Join(err, store.Close()) }()
	screen := !f.plain && terminal.IsTerminal(os.Stdout) && terminal.IsTerminal(os.Stdin)
	reg, err := store.Registration()
	if err != nil {
		return err
	}
	p, err := perform(c.Context(), dir, store, t, bench, hired, resumed, screen,
		func(l *loop.Loop, after int64, interrupt func(), done <-chan struct{}) error {
			announce(dir, t, bench, reg, resumed)
			return watch(c.Context(), store, dir, after, l, interrupt, done, screen)
		})
	if err != nil {
		return research.Hinted(err, hintOr(err, "what was measured is safe; go on with: mendel run --resume "+dir))
	}
	if err := summarize(store.Reader, dir, p.ending); err != nil {
		return err
	}
	if err := hired.report(store.Reader); err != nil {
		return err
	}
	if p.asked {
		return exitCode(exitInterrupted)
	}
	return p.watched
}

// A performance is how a loop ended.
type performance struct {
	ending  loop.Ending
	asked   bool  // to end before its work was done
	watched error // of whoever looked on
}

// perform runs the loop to its end while watch looks on, and answers signals and other processes
// meanwhile.
func perform(ctx context.Context, dir string, store *lineage.Store, t *taskPackage, bench *workbench, hired *company, resumed, screen bool,
	watch func(l *loop.Loop, after int64, interrupt func(), done <-chan struct{}) error) (performance, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return performance{}, err
	}
	started, err := store.Head()
	if err != nil {
		return performance{}, err
	}
	config, closeConfig, err := bench.loopConfig(absolute, dir, store, t, hired, resumed)
	if err != nil {
		return performance{}, err
	}
	defer closeConfig()
	l, err := loop.New(config)
	if err != nil {
		return performance{}, err
	}
	server, err := control.Serve(absolute, l)
	if err != nil {
		return performance{}, err
	}
	defer server.Close()

	stops, interrupt := interrupts(ctx, func(text string) {
		if !screen {
			fmt.Fprintln(os.Stderr, "mendel: "+text)
		}
	})
	defer stops.release()
	var p performance
	var failure error
	done := make(chan struct{})
	go func() {
		p.ending, failure = l.Run(stops.stop, stops.kill)
		close(done)
	}()
	watched := watch(l, started.Seq, interrupt, done)
	<-done
	p.watched, p.asked = watched, p.ending.Interrupted && stops.stop.Err() != nil
	return p, failure
}

func hintOr(err error, other string) string {
	if hint := research.Hint(err); hint != "" {
		return hint
	}
	return other
}

// announce says what begins, before the first result can take a while.
func announce(dir string, t *taskPackage, b *workbench, reg research.Registration, resumed bool) {
	verb := "run"
	if resumed {
		verb = "resuming"
	}
	s := terminal.StyleFor(os.Stdout)
	fmt.Printf("%s %s: %s\n", verb, s.Strong(dir), t.Title)
	fmt.Printf("  sandbox %s; %s\n", terminal.SandboxText(b.note), b.environment)
	if p := t.Pins(); p != nil {
		fmt.Printf("  recipe from %s at %.12s\n", p.Repo, p.Commit)
	}
	if b.below {
		fmt.Printf("  %s the task asks for %s: recipe code could reach what it should not\n", s.Bad("warning:"), t.Sandbox)
	}
	if !resumed {
		fmt.Println("  " + noiseSource(reg))
	}
}

// watch shows the run until done: a screen on a terminal, plain lines elsewhere.
func watch(ctx context.Context, store *lineage.Store, dir string, after int64, l *loop.Loop, interrupt func(), done <-chan struct{}, screen bool) error {
	if screen {
		screen := terminal.Screen{
			Reader: store.Reader, Dir: dir, Live: l.Live, Interrupt: interrupt,
			Style: terminal.StyleFor(os.Stdout), Now: time.Now,
		}
		return screen.Show(ctx, done)
	}
	return terminal.Follow(ctx, store.Reader, os.Stdout, after, done, terminal.StyleFor(os.Stdout))
}

// more is the budget without which a run that used its own up could not go on.
func more(e loop.Ending) string {
	if e.Interrupted {
		return ""
	}
	if strings.HasPrefix(e.Reason, "the budget of ") {
		return map[bool]string{true: " --usd …", false: " --tokens …"}[strings.Contains(e.Reason, "$")]
	}
	return fmt.Sprintf(" --trials %d", e.Trials+max(e.Trials, 10))
}

// me is how the user started this program, so that what is proposed can be typed as it stands.
func me() string {
	if strings.ContainsRune(os.Args[0], os.PathSeparator) && !filepath.IsAbs(os.Args[0]) {
		return os.Args[0]
	}
	return "mendel"
}

// summarize says what came of it and what to type next.
func summarize(r *lineage.Reader, dir string, ending loop.Ending) error {
	o, err := terminal.Collect(r, dir, nil, 0)
	if err != nil {
		return err
	}
	s := terminal.StyleFor(os.Stdout)
	fmt.Printf("\n%s\n", s.Strong("ended: "+ending.Reason))
	terminal.WriteSummary(os.Stdout, o, s)
	name := dir
	if newest, err := newestRun(); err == nil && newest == filepath.Clean(dir) {
		name = ""
	}
	at := func(verb, flag string) string {
		if name == "" {
			return me() + " " + verb
		}
		return me() + " " + verb + " " + flag + name
	}
	fmt.Printf("\nlineage  %s\nhead     %s\n", filepath.Join(dir, lineage.FileName), o.Head)
	fmt.Println("next")
	next := [][2]string{
		{at("tree", "--state "), "who descends from whom"},
		{me() + " verify " + dir, "check that nothing was altered"},
		{me() + " run --resume " + dir + more(ending), "go on"},
	}
	if o.Incumbent != nil {
		best := o.Incumbent.ID.String()
		first := [][2]string{{at("show "+best, "--state "), "the best trial: its verdict, margins and measurement"}}
		if o.Incumbent.ID != research.Baseline {
			first = append(first, [2]string{at("diff 000 "+best, "--state "), "what it changed in all"})
		}
		next = append(first, next...)
	}
	width := 0
	for _, line := range next {
		width = max(width, len(line[0]))
	}
	for _, line := range next {
		fmt.Printf("  %-*s  %s\n", width, line[0], line[1])
	}
	return nil
}
