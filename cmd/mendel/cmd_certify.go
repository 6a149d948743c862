package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"mendel/internal/lineage"
	"mendel/internal/loop"
	"mendel/internal/research"
	"mendel/internal/view/terminal"
)

// certifyFlags are the flags of `mendel certify` as they were typed.
type certifyFlags struct {
	state, site, output string
	asJSON              bool
}

func certifyCommand() *cobra.Command {
	var f certifyFlags
	c := &cobra.Command{
		Use:   "certify [DIR]",
		Short: "Measure baseline and incumbent again on data that the search never saw",
		Long: `Measures a finished run's baseline and incumbent again, in pairs, with fresh seeds, on the data that the
task keeps for the certifier, and decides by the plan that the run registered before it began: certified,
refuted or inconclusive. Every attempt is recorded, and alpha is halved with each.

The certificate is one file, which ` + "`mendel verify FILE`" + ` checks without the run. Ctrl-C ends the measurement
under way; certify again goes on with the same attempt.`,
		Args: between(0, 1, "at most one run directory"),
		RunE: func(c *cobra.Command, args []string) error {
			dir, err := chosenRun(append(args, f.state)...)
			if err != nil {
				return err
			}
			return f.run(c.Context(), dir)
		},
	}
	stateFlag(c, &f.state)
	c.Flags().StringVar(&f.site, "site", "", "what differs on this machine (default: the run's own)")
	c.Flags().StringVarP(&f.output, "output", "o", "", "where the certificate goes (default: certificate-N.mendel in the run's directory)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the certificate as JSON, and progress to stderr")
	return c
}

func (f certifyFlags) run(ctx context.Context, dir string) error {
	lock, err := lineage.Lock(dir)
	if err != nil {
		return err
	}
	defer lock.Release()
	store, err := lineage.Open(dir)
	if err != nil {
		return err
	}
	certificate, err := f.certify(ctx, dir, store)
	if err == nil {
		if f.output == "" {
			f.output = filepath.Join(dir, fmt.Sprintf("certificate-%d.mendel", certificate.Number))
		}
		err = writeBundle(store.Reader, f.output, certificate.Number)
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	if f.asJSON {
		return writeJSON(certificate)
	}
	fmt.Println()
	writeCertificate(certificate, terminal.StyleFor(os.Stdout))
	fmt.Printf("\ncertificate  %s\nnext\n  %s verify %s  recheck it, here or anywhere\n", f.output, me(), f.output)
	return nil
}

func (f certifyFlags) certify(ctx context.Context, dir string, store *lineage.Store) (research.Certificate, error) {
	reg, err := store.Registration()
	if err != nil {
		return research.Certificate{}, err
	}
	if err := reg.Certifiable(); err != nil {
		return research.Certificate{}, err
	}
	t, err := registeredTask(reg)
	if err != nil {
		return research.Certificate{}, err
	}
	bench, err := prepare(ctx, t, cmp.Or(f.site, reg.Site), 1, reg.Unsandboxed)
	if err != nil {
		return research.Certificate{}, err
	}
	if err := bench.sameAs(t, reg); err != nil {
		return research.Certificate{}, err
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return research.Certificate{}, err
	}
	config, closeConfig, err := bench.loopConfig(absolute, dir, store, t, &company{log: &lateLog{}}, true)
	if err != nil {
		return research.Certificate{}, err
	}
	defer closeConfig()
	progress := os.Stdout
	if f.asJSON {
		progress = os.Stderr
	}
	stops, _ := interrupts(ctx, func(string) {})
	defer stops.release()
	certificate, err := loop.Certify(stops.stop, config, func(line string) { fmt.Fprintln(progress, line) })
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "mendel: interrupted; what was measured is recorded. Go on: %s certify %s\n", me(), dir)
		return certificate, exitCode(exitInterrupted)
	}
	return certificate, err
}

// writeBundle writes a certificate's bundle whole or not at all.
func writeBundle(r *lineage.Reader, path string, n int) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".certificate-*")
	if err != nil {
		return err
	}
	err = errors.Join(r.WriteBundle(file, n), file.Chmod(0o644), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// writeCertificate shows a decision.
func writeCertificate(c research.Certificate, s terminal.Style) {
	word := s.Strong(string(c.Decision))
	switch c.Decision {
	case research.CertifiedGain:
		word = s.Good(string(c.Decision))
	case research.Refuted:
		word = s.Bad(string(c.Decision))
	}
	fmt.Printf("%s: trial %s: %s\n", word, c.Incumbent, c.Reason)
	fmt.Printf("  attempt %d of the run, alpha %.3g, %d of %d pairs of fresh measurements\n", c.Number, c.Alpha, c.Measured, c.Pairs)
	for _, m := range c.Margins {
		fmt.Printf("  %s\n", terminal.MarginText(m))
	}
}
